from __future__ import annotations

from typing import ClassVar


class LaunchError(Exception):
    """The launcher cannot go on. The message is for the person who started it and says what to change."""

    exit_code: ClassVar[int] = 1


class UsageError(LaunchError):
    """An option or the file it names is wrong."""

    exit_code = 2
