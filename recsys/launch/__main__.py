from __future__ import annotations

import signal
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    # Imported only now: a Ctrl-C during the imports shall end in silence too.
    from recsys.launch.cli import app

    app()


if __name__ == "__main__":
    main()
