"""When models that jobs train are trained, and where they are kept."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator


class TrainingSettings(BaseModel):
    model_store_url: str = Field(
        "", description="s3://bucket/prefix, or a folder, of the models that jobs train; empty: below DATA_DIR"
    )
    train_interval_s: float = Field(30.0, gt=0, description="seconds between two trainings that go on from the last")
    train_full_interval_s: float = Field(3_600.0, gt=0, description="seconds between two trainings from nothing")
    train_timeout_s: int = Field(3_600, gt=0, description="a training that takes longer is ended, seconds")
    models_kept: int = Field(5, ge=2, description="versions of each model that are kept")

    @field_validator("model_store_url")
    @classmethod
    def _folder_or_s3(cls, url: str) -> str:
        scheme, separator, rest = url.partition("://")
        if separator and (scheme != "s3" or not rest.strip("/")):
            raise ValueError("must be a folder or s3://bucket/prefix")
        return url
