"""``python tether.py PARENT_PID COMMAND...``: become COMMAND, which on Linux gets SIGTERM as soon as the parent dies.

A program of its own, because code between fork and exec could deadlock in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            sys.exit("the launcher has already ended")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
