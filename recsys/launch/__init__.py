"""The launcher behind ``run_all.sh``: chooses the backends, starts the services and keeps them running."""

import time
from typing import Final

# Imported before everything else, so that the time to readiness includes the imports.
STARTED: Final = time.monotonic()
