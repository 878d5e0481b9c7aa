"""The bare endpoints that the benchmark compares with: FastAPI and one awaited command to the store, nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from fastapi import FastAPI, Request
from redis.asyncio import Redis

REDIS = Redis.from_url(os.environ["REDIS_URL"])
BROKER_URL = os.environ["BROKER_URL"]
NAME = "benchmark:baseline"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await REDIS.set(NAME, b"x" * 160)
    if not BROKER_URL.startswith("amqp"):
        yield
        await REDIS.delete(NAME, NAME + ":stream")
        return
    connection = await aio_pika.connect(BROKER_URL)
    channel = await connection.channel(publisher_confirms=True)
    await channel.declare_queue(NAME, durable=True)
    app.state.exchange = channel.default_exchange
    yield
    await channel.queue_delete(NAME)
    await connection.close()


app = FastAPI(lifespan=lifespan)


@app.get("/get/{user_id}")
async def get(user_id: str) -> dict[str, Any]:
    return {"bytes": len(await REDIS.get(NAME) or b"")}


@app.post("/publish")
async def publish(request: Request) -> dict[str, str]:
    body = await request.body()
    if BROKER_URL.startswith("amqp"):
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await app.state.exchange.publish(message, routing_key=NAME)
    else:
        await REDIS.xadd(NAME + ":stream", {"body": body})
    return {"status": "ok"}


@app.get("/healthcheck")
async def healthcheck() -> dict[str, str]:
    return {"status": "ok"}
