"""The recommendations service: the grader's contract, and what people look at besides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from pydantic_core import to_json

from recommendations.impressions import ImpressionRecorder
from recommendations.lists import Lists
from recsys.contract import DEFAULT_K, MAX_K, AddItems, RecsRequest
from recsys.limits import ID_PATTERN, MAX_ID_CHARS
from recsys.recommenders.extras import require
from recsys.recommenders.recipe import read_recipe
from recsys.settings import Settings, masked
from recsys.stores.connect import open_broker, open_models, open_state
from recsys.web import add_web_basics, body_schema, health, parse_body, parse_parameters

DESCRIPTION = """
`GET /recs/{user_id}?k=10&explain=false` answers `{"item_ids": [...]}`, best first; with `explain=true` also
`"sources"`, the part of the ranking that chose each item.
"""
K = Annotated[int, Query(ge=1, le=MAX_K, description="length of the list")]
Id = Annotated[str, PathParameter(max_length=MAX_ID_CHARS, pattern=ID_PATTERN)]


def create_app(settings: Settings) -> FastAPI:
    recipe = read_recipe(**settings.recipe)
    require(recipe, to_train=False)
    state, broker = open_state(settings), open_broker(settings)
    impressions = ImpressionRecorder(broker, settings.impression_flush_ms / 1000)
    lists = Lists(
        state,
        partial(open_models, settings),
        impressions,
        recipe,
        settings.seed,
        settings.rank_timeout_ms / 1000,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await impressions.close()
        await broker.close()
        await state.close()

    app = FastAPI(title="Recommendations", description=DESCRIPTION, lifespan=lifespan)
    add_web_basics(app)

    @app.get("/healthcheck", summary="200 once lists can be served")
    async def healthcheck() -> Response:
        return await health(lists.check)

    @app.get("/cleanup", summary="Forget everything; archive the event log")
    @app.post("/cleanup", summary="Forget everything; archive the event log")
    async def cleanup() -> dict[str, Any]:
        return {"status": "ok", "epoch": await lists.cleanup()}

    @app.post("/add_items", summary="Insert or update items", openapi_extra=body_schema(AddItems))
    async def add_items(request: Request) -> dict[str, Any]:
        added, updated = await lists.add_items(await parse_body(request, AddItems, settings.max_body_mib))
        return {"status": "ok", "added": added, "updated": updated}

    async def recs(request: Request) -> Response:
        wanted = parse_parameters(request, RecsRequest)
        answer = await lists.recommend(wanted.user_id, wanted.k)
        sources = b',"sources":' + to_json(answer.sources) if wanted.explain else b""
        body = b'{"item_ids":[' + b",".join(answer.ids_json) + b"]" + sources + b"}"
        return Response(body, media_type="application/json")

    # A plain Starlette route: FastAPI's handling of parameters would cost as much as choosing the list. The id takes
    # the rest of the path, so that one with a slash gets an answer that names the field.
    app.add_route("/recs/{user_id:rest}", recs, methods=["GET"])

    @app.get("/similar/{item_id:rest}", summary="Items like this one, by genres and by who likes them")
    async def similar(item_id: Id, k: K = DEFAULT_K) -> dict[str, Any]:
        known = await lists.knowledge()
        position = known.catalogue.index.get(item_id)
        if position is None:
            raise HTTPException(404, [{"loc": ["path", "item_id"], "msg": f"no item {item_id!r} in the catalogue"}])
        return {"item_ids": known.similar(position, k)}

    @app.get("/top", summary="The published genre-aware top list, over all items or of one genre")
    async def top(genre: str | None = None, k: K = DEFAULT_K) -> dict[str, Any]:
        known = await lists.knowledge()
        names = known.catalogue.genre_names
        if genre is not None and genre not in names:
            raise HTTPException(404, [{"loc": ["query", "genre"], "msg": f"no genre {genre!r}; there are: {names}"}])
        return {"item_ids": known.top(genre, k)}

    @app.get("/catalogue", summary="Size of the catalogue, its genres, and the epoch")
    async def catalogue() -> dict[str, Any]:
        known = await lists.knowledge()
        return {"items": len(known.catalogue), "genres": known.catalogue.genre_names, "epoch": known.epoch}

    @app.get("/status", summary="Size of catalogue and log, the last refresh, and the backends")
    async def status() -> dict[str, Any]:
        known = await lists.knowledge()
        counters, models = await state.ledger.counters(known.epoch), await state.models.facts(known.epoch)
        first = next((models[name] for name in lists.names if name in models), {})
        return {
            "epoch": known.epoch,
            "items": len(known.catalogue),
            "profile": settings.ranking_profile,
            "recommender": recipe.text,
            "explore": "auto" if recipe.explore is None else recipe.explore,
            "log": {"rows": counters.pop("applied", 0), **counters},
            "refresh": {"rows": first.get("rows", 0), "published_at": first.get("published_at")},
            "models": models,
            "backends": {
                "state": masked(settings.redis_url),
                "broker": masked(settings.broker_url),
                "vectors": masked(settings.qdrant_url) or "local folder",
            },
        }

    return app
