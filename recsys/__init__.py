"""What the services share: contract, settings, stores and ranking. Imports none of the services."""

import os

# Our matrices are small: OpenBLAS's threads would spin on other processes' cores for nothing. Read when numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
