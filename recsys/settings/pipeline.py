"""How often the pipeline does what."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PipelineSettings(BaseModel):
    refresh_interval_s: float = Field(0.5, gt=0, description="seconds between two publications of live models")
    drain_batch_messages: int = Field(
        5_000, gt=0, le=10_000, description="a drained batch closes at this many messages, at most 10,000"
    )
    drain_linger_ms: int = Field(50, ge=0, description="or this long after its first message, in milliseconds")
    checkpoint_interval_s: float = Field(
        30.0, gt=0, description="seconds between two saved checkpoints of the live learners"
    )
