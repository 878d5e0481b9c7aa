"""``python -m load_tests.implicit_alone FOLDER ITEMS FACTORS LIKE DISLIKE REGULARIZATION ITERATIONS THREADS``

The library implicit on the reactions of an event log, without any of ours: what training cannot be faster than. Prints
the seconds of the fit alone, and the most memory, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix


def main() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    folder, *numbers = sys.argv[1:]
    items, factors, like, dislike, regularization, iterations, threads = map(float, numbers)
    said = matrix(Path(folder), int(items), like, -dislike)
    trainer = AlternatingLeastSquares(
        int(factors), regularization, iterations=int(iterations), num_threads=int(threads), random_state=0
    )
    begun = time.perf_counter()
    trainer.fit(said, show_progress=False)
    seconds = time.perf_counter() - begun
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "memory_mb": memory_mb, "reactions": int(said.nnz)}))


def matrix(folder: Path, items: int, like: float, dislike: float) -> csr_matrix:
    """(users, items): the last word of each user on each item, of a log in which nothing is taken back."""
    rows = pl.scan_parquet(folder / "part-*.parquet").filter(pl.col("kind") != "impression")
    last = (
        rows.select(pl.col("user_id").hash(), "item_index", liked=pl.col("kind") == "like")
        .collect()
        .unique(subset=["user_id", "item_index"], keep="last")
    )
    user = last["user_id"].rank("dense").to_numpy().astype(np.int32) - 1
    values = np.where(last["liked"].to_numpy(), np.float32(like), np.float32(dislike))
    return csr_matrix((values, (user, last["item_index"].to_numpy())), shape=(int(user.max()) + 1, items))


if __name__ == "__main__":
    main()
