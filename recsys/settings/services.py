"""Where the services listen and find each other, and what they take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, field_validator

from recsys.settings.stores import ROOT

SHIPPED_CATALOGUE: Final = ROOT / "webapp" / "data" / "catalogue.csv"


class ServiceSettings(BaseModel):
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
    impression_flush_ms: int = Field(50, gt=0, description="impressions reach the broker at most this much later")
    max_body_mib: int = Field(64, gt=0, description="larger request bodies get a 413")
    cors_origins: str = Field("*", description="origins that browsers may call the collector from, comma separated")

    @field_validator("catalogue", mode="before")
    @classmethod
    def _some_catalogue(cls, path: str | Path) -> str | Path:
        return path or SHIPPED_CATALOGUE

    @property
    def local_host(self) -> str:
        """Where processes on this machine reach the services, as URLs write it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen_host, self.listen_host)
        return f"[{host}]" if ":" in host else host
