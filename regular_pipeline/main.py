"""``cd regular_pipeline && python main.py``, as the original system was started."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from regular_pipeline.__main__ import app  # noqa: E402  (importable only with the line above)

if __name__ == "__main__":
    app()
