"""Every setting of every process: read once from the environment, then passed on as an argument.

A group for each concern. No setting knows a recommender, so that who serves no list loads none.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.settings.logs import LogSettings
from recsys.settings.pipeline import PipelineSettings
from recsys.settings.recommending import RecommendingSettings
from recsys.settings.services import SHIPPED_CATALOGUE, ServiceSettings
from recsys.settings.stores import DEFAULT_DATA_DIR, ROOT, StoreSettings
from recsys.settings.training import TrainingSettings
from recsys.settings.urls import RABBIT_SCHEMES, REDIS_SCHEMES, SCHEMES, masked, url_problem

__all__ = [
    "BACKENDS_FILE",
    "DEFAULT_DATA_DIR",
    "RABBIT_SCHEMES",
    "REDIS_SCHEMES",
    "ROOT",
    "SHIPPED_CATALOGUE",
    "Settings",
    "masked",
    "read_settings",
    "url_problem",
]

# Written by run_all.sh while it runs, so that a service started by hand joins the same backends.
BACKENDS_FILE: Final = DEFAULT_DATA_DIR / "backends.env"


class Settings(
    StoreSettings,
    ServiceSettings,
    PipelineSettings,
    RecommendingSettings,
    TrainingSettings,
    LogSettings,
    BaseSettings,
):
    """Environment variables carry the field's name in capitals, for example ``REDIS_URL``."""

    model_config = SettingsConfigDict(frozen=True, env_file=BACKENDS_FILE, extra="ignore")


def read_settings(**given: Any) -> Settings:
    """From the environment, but for those given. Ends the process with a line for each setting that is wrong."""
    try:
        # The file of a launcher that another account runs cannot be read.
        return Settings(_env_file=BACKENDS_FILE if os.access(BACKENDS_FILE, os.R_OK) else None, **given)
    except ValidationError as error:
        sys.exit("\n".join(map(_said, error.errors())))


def _said(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    value = masked(str(error["input"])) if name in SCHEMES else error["input"]
    return f"{name.upper()}={value!r}: {message}"
