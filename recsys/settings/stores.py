"""Where the state, the queue, the vectors and the files are, and how long one waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from recsys.settings.urls import SCHEMES, url_problem

ROOT: Final = Path(__file__).resolve().parent.parent.parent
DEFAULT_DATA_DIR: Final = ROOT / "data"


class StoreSettings(BaseModel):
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="state; redis://, rediss:// or unix://")
    broker_url: str = Field(
        "amqp://guest:guest@127.0.0.1:5672/", description="amqp:// for RabbitMQ, redis:// or unix:// for Redis Streams"
    )
    qdrant_url: str = Field("", description="http:// of a Qdrant server; empty: a local folder below DATA_DIR")
    data_dir: Path = Field(DEFAULT_DATA_DIR, description="event log, checkpoints and local vectors")
    key_prefix: str = Field(
        "recsys", description="first part of every Redis key and Qdrant collection", pattern=r"^\w+$"
    )
    redis_timeout_s: float = Field(2.0, gt=0, description="longest wait for an answer of the state's Redis, seconds")
    publish_timeout_s: float = Field(3.0, gt=0, description="longest wait for the broker, also of /interact, seconds")

    @field_validator(*SCHEMES)
    @classmethod
    def _right_url(cls, url: str, info: ValidationInfo) -> str:
        if (url or info.field_name != "qdrant_url") and (problem := url_problem(str(info.field_name), url)):
            raise ValueError(f"it {problem}")
        return url
