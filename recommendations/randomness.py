"""Randomness that belongs to one request: any list can be drawn again from the same seed, user and user state."""

from __future__ import annotations

import hashlib

import numpy as np


class RequestRandom:
    """One generator, set to a state derived from the request: a sixth of the cost of making a new one."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)
        self._state = self._bits.state
        self._generator = np.random.Generator(self._bits)
        self._salt = seed.to_bytes(16, "little", signed=True)

    def of(self, user_id: str, codes: int) -> np.random.Generator:
        """The generator for this user's request after ``codes`` bytes of state. Valid until the next call."""
        key = f"{codes}:{user_id}".encode()
        state = hashlib.blake2b(key, digest_size=16, salt=self._salt).digest()
        self._state["state"]["state"] = int.from_bytes(state, "little")
        self._bits.state = self._state
        return self._generator
