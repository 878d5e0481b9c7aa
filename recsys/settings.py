"""Every setting of every process: read once from the environment, then passed on as an argument."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.ranking.profiles import PROFILES, Ranking, ranking

ROOT: Final = Path(__file__).resolve().parent.parent
DEFAULT_DATA_DIR: Final = ROOT / "data"
# Written by run_all.sh while it runs, so that a service started by hand joins the same backends.
BACKENDS_FILE: Final = DEFAULT_DATA_DIR / "backends.env"
SHIPPED_CATALOGUE: Final = ROOT / "webapp" / "data" / "catalogue.csv"
REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
RABBIT_SCHEMES: Final = ("amqp", "amqps")
SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "redis_url": REDIS_SCHEMES,
    "broker_url": (*RABBIT_SCHEMES, *REDIS_SCHEMES),
    "qdrant_url": ("http", "https"),
}


class Settings(BaseSettings):
    """Environment variables carry the field's name in capitals, for example ``REDIS_URL``."""

    model_config = SettingsConfigDict(frozen=True, env_file=BACKENDS_FILE, extra="ignore")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="state; redis://, rediss:// or unix://")
    broker_url: str = Field(
        "amqp://guest:guest@127.0.0.1:5672/", description="amqp:// for RabbitMQ, redis:// or unix:// for Redis Streams"
    )
    qdrant_url: str = Field("", description="http:// of a Qdrant server; empty: a local folder below DATA_DIR")
    data_dir: Path = Field(DEFAULT_DATA_DIR, description="event log, checkpoints and local vectors")
    key_prefix: str = Field(
        "recsys", description="first part of every Redis key and Qdrant collection", pattern=r"^\w+$"
    )

    listen_host: str = Field("0.0.0.0", min_length=1, description="address the services listen on")
    collector_host: str = Field("", description="host of the collector, for the web app; empty: as LISTEN_HOST")
    recommendations_host: str = Field(
        "", description="host of the recommendations service, for the web app; empty: as LISTEN_HOST"
    )
    collector_port: int = Field(5000, description="port of the event collector")
    recommendations_port: int = Field(5001, description="port of the recommendations service")
    webapp_port: int = Field(8000, description="port of the demo web app")
    catalogue: Path = Field(SHIPPED_CATALOGUE, description="CSV or MovieLens folder that the web app's films come from")
    recommendations_workers: int = Field(1, gt=0, description="processes of the recommendations service")

    refresh_interval_s: float = Field(0.5, gt=0, description="seconds between two publications of artifacts")
    taste_interval_s: float = Field(10.0, gt=0, description="seconds between two rounds of learning tastes")
    drain_batch_messages: int = Field(
        5_000, gt=0, le=10_000, description="a drained batch closes at this many messages, at most 10,000"
    )
    drain_linger_ms: int = Field(50, ge=0, description="or this long after its first message, in milliseconds")
    checkpoint_interval_s: float = Field(30.0, gt=0, description="seconds between two saved checkpoints of the counts")
    half_life_days: float = Field(7.0, ge=0.001, description="an interaction this old counts half in like rates")

    redis_timeout_s: float = Field(2.0, gt=0, description="longest wait for an answer of the state's Redis, seconds")
    publish_timeout_s: float = Field(3.0, gt=0, description="longest wait for the broker, also of /interact, seconds")
    impression_flush_ms: int = Field(50, gt=0, description="impressions reach the broker at most this much later")
    max_body_mib: int = Field(64, gt=0, description="larger request bodies get a 413")
    cors_origins: str = Field("*", description="origins that browsers may call the collector from, comma separated")

    ranking_profile: str = Field("balanced", description=f"what lists aim at: {', '.join(PROFILES)}")
    ranking_without: str = Field("", description="components of the ranking to leave out, comma separated: ablations")
    seed: int = Field(0, ge=0, description="seed of all randomness in rankings")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_json: bool = Field(False, description="one JSON object per log line instead of text")

    @field_validator(*SCHEMES)
    @classmethod
    def _right_url(cls, url: str, info: ValidationInfo) -> str:
        if (url or info.field_name != "qdrant_url") and (problem := url_problem(str(info.field_name), url)):
            raise ValueError(f"it {problem}")
        return url

    @field_validator("catalogue", mode="before")
    @classmethod
    def _some_catalogue(cls, path: str | Path) -> str | Path:
        return path or SHIPPED_CATALOGUE

    @field_validator("ranking_profile")
    @classmethod
    def _known_profile(cls, profile: str) -> str:
        ranking(profile)
        return profile

    @field_validator("ranking_without")
    @classmethod
    def _known_components(cls, without: str) -> str:
        ranking("balanced", without)
        return without

    @property
    def local_host(self) -> str:
        """Where processes on this machine reach the services, as URLs write it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen_host, self.listen_host)
        return f"[{host}]" if ":" in host else host

    @property
    def ranking(self) -> Ranking:
        """Every constant of the recommender, by profile and components left out."""
        return ranking(self.ranking_profile, self.ranking_without)


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


def url_problem(name: str, url: str) -> str:
    """What is wrong with the URL in the setting ``name``, as the rest of a sentence, without its password; or ""."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in SCHEMES[name] or not url[len(parts.scheme) :].startswith("://"):
        return f"must start with one of {', '.join(f'{scheme}://' for scheme in SCHEMES[name])}"
    if "@" in f"{parts.path}{parts.fragment}" or ("@" in parts.query and "password=" not in parts.query):
        return "needs its user and password percent-encoded: %2F for /, %23 for #, %3F for ?, %40 for @"
    try:
        parts.port  # noqa: B018 - parses it
    except ValueError:
        return "has a port that is no number up to 65535"
    if parts.scheme in ("redis", "rediss") and not re.fullmatch(r"/?\d*", parts.path):
        return "must end with the number of a database, for example /0"
    return ""


def masked(url: str) -> str:
    """The URL with passwords hidden, fit for logs; also one whose password is not quoted as it should be."""
    if "://" not in url:
        return re.sub(r".*@", "***@", url)
    url = re.sub(r"(://[^:@/]*):.+@", r"\1:***@", url)
    return re.sub(r"(?i)(password=)[^&#]*", r"\1***", url)
