"""What the grader tells people in one sentence, with exit code 2: ``GraderError(Exception)`` and nothing below it."""

from __future__ import annotations


class GraderError(Exception):
    """What is wrong and what to do about it; the command line prints it and exits with code 2."""
