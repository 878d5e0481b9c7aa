"""The report of small runs made by hand: what it holds, and that nothing in a run can break it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from grader.assessment import assess
from grader.breakdown import MOST_SOURCES
from grader.metrics.lists import Lists
from grader.report import about, series
from grader.report.page import render, write_report
from grader.run import Run
from grader.words import lag_sentence
from grader.worlds.world import Catalogue

ITEMS, USERS, K = 60, 12, 10
HOSTILE = """<script>alert("x")</script> $x_1$ & 'é' {{ 7 * 7 }}"""
VOID = {"meta", "link"}
LAG = {"p50_s": 0.05, "p95_s": None, "shares": [[0.0, 0.1], [0.05, 0.6], [3.2, 0.9]], "reason": ""}
REFERENCE = {"precision": 0.5, "ndcg_remaining": 0.5, "ndcg_all": 0.5, "hits_per_list": 5.0, "hit_rate": 1.0}
RUNG = {
    "name": HOSTILE,
    "knows": HOSTILE,
    "metrics": REFERENCE
    | {"intra_list_diversity": 0.5, "inter_user_diversity": 0.5, "share_of_genres": 0.5, "catalogue_coverage": 0.5},
}


class Page(HTMLParser):
    """Fails on tags that are not closed in order; keeps what is of interest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += [tag] * (tag not in VOID)
        self.handle_attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handle_attributes(attrs)

    def handle_attributes(self, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def facts(**changed: Any) -> dict[str, Any]:
    settings = {"world": "tiny", "seed": 3, "users": None, "lists_per_user": 3.1, "explain": True, "lag": True}
    return {
        "address": {"recs_url": "http://localhost:5001", "interact_url": "http://localhost:5000"},
        "settings": {**settings, "salt": 7, "ladder": True, "k": K, "speed": 1.0},
        "world": {"name": "tiny", "items": ITEMS, "users": USERS, "parameters": {"spec": "tiny", "seed": 3}},
        "began": "2026-01-02T03:04:05+00:00",
        "took_s": 75.4,
        "add_items_s": [0.1, 0.2],
        "ended_early": False,
        "ladder": [RUNG],
        "lag": LAG,
        **changed,
    }


def catalogue(genres: Sequence[str]) -> Catalogue:
    held = np.random.default_rng(1).random((ITEMS, len(genres))) < 0.5
    return Catalogue(list(genres), held, np.full(ITEMS, 3, np.int32), np.full(ITEMS, 5, np.int32), USERS)


def requests(rows: int) -> pl.DataFrame:
    """Lists and reactions in turn; every third item shown is a hit."""
    rng = np.random.default_rng(0)
    looks = np.arange(rows) % 2 == 0
    items = [rng.permutation(ITEMS)[:K].tolist() if look else [] for look in looks]
    sent_s = np.arange(rows) * 0.1
    return pl.DataFrame(
        {
            "visit": np.arange(rows) // 4,
            "user": (np.arange(rows) // 4 % USERS).astype(np.int32),
            "kind": np.where(looks, "recs", "interact"),
            "number": (np.arange(rows) // 2 % 3 + 1).astype(np.int32),
            "due_s": sent_s,
            "sent_s": sent_s,
            "done_s": sent_s + rng.uniform(0.001, 0.2, rows),
            "status": np.full(rows, 200, np.int16),
            "problem": [""] * rows,
            "returned": np.where(looks, K, 0).astype(np.int16),
            "unknown": np.zeros(rows, np.int16),
            "repeated": np.zeros(rows, np.int16),
            "items": pl.Series(items, dtype=pl.List(pl.Int32)),
            "fresh": pl.Series([[True] * len(row) for row in items], dtype=pl.List(pl.Boolean)),
            "hits": pl.Series([[item % 3 == 0 for item in row] for row in items], dtype=pl.List(pl.Boolean)),
            "relevant": np.full(rows, 30, np.int32),
            "remaining": np.full(rows, 20, np.int32),
            "sources": pl.Series([["top"] * len(row) for row in items], dtype=pl.List(pl.String)),
            "likes": np.zeros(rows, np.int16),
            "dislikes": np.zeros(rows, np.int16),
        }
    )


def a_run(rows: int = 400, genres: Sequence[str] = ("Drama", "Comedy"), **changed: Any) -> Run:
    return Run(facts(**changed), catalogue(genres), requests(rows))


def report(run: Run, profile: str = "standard") -> str:
    return render(run, assess(run, profile))


def failed(run: Run) -> Run:
    """Every request unanswered."""
    nothing = run.requests.with_columns(
        pl.col("items").list.eval(pl.element() * 0 - 1),
        pl.col("hits", "fresh").list.eval(pl.element() & False),
        problem=pl.lit(HOSTILE),
        status=pl.lit(0, pl.Int16),
        returned=pl.lit(0, pl.Int16),
        sources=pl.lit([], pl.List(pl.String)),
    )
    return Run(run.facts, run.catalogue, nothing)


def test_it_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    run = a_run()
    write_report(tmp_path / "report.html", run, assess(run))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert all(reference.startswith("#") or reference == "data:," for reference in page.references)
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    assert "script" not in page.tags
    assert "default-src 'none'" in text


def test_its_parts_can_be_referred_to() -> None:
    page = Page(report(a_run()))
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)


def test_it_says_the_score_and_draws_every_plot() -> None:
    run = a_run()
    quality = assess(run).card.quality
    text = report(run)
    low, high = quality.interval
    assert f"<b>{quality.value:.1f}</b> of 40" in text
    assert f"95 % interval {low:.1f} to\N{NO-BREAK SPACE}{high:.1f}" in text
    assert re.findall(r'<title id="(\w+)-title">', text) == ["precision", "coverage", "times", "p95", "lag"]
    assert "No list was spoiled" in text


def test_both_colour_schemes_reach_the_plots() -> None:
    text = report(a_run())
    assert "prefers-color-scheme: dark" in text
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--lists)" in plots
    assert not re.search(r"#[0-9a-fA-F]{6}\b", plots)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert report(a_run()) == report(a_run())


def test_nothing_of_a_run_is_taken_for_html() -> None:
    run = a_run(
        genres=(HOSTILE, "Drama"),
        address={"recs_url": HOSTILE, "interact_url": HOSTILE},
        world={"name": HOSTILE, "parameters": {HOSTILE: HOSTILE}},
        lag=LAG | {"reason": HOSTILE},
    )
    hostile = run.requests.with_columns(
        problem=pl.when(pl.col("visit") == 0).then(pl.lit(HOSTILE)).otherwise(pl.lit("")),
        sources=pl.col("sources").list.eval(pl.element().replace("top", HOSTILE)),
    )
    text = report(Run(run.facts, run.catalogue, hostile))
    page = Page(text)
    assert "script" not in page.tags
    escaped = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; $x_1$ &amp; &#39;é&#39; {{ 7 * 7 }}"
    assert text.count(escaped) >= 10  # URLs, world, parameters, genre, source, problem, rung, lag
    assert HOSTILE not in text


@pytest.mark.parametrize("rows", [1, 2, 7, 130])
def test_tiny_runs_render(rows: int) -> None:
    Page(report(a_run(rows, ended_early=True)))


def test_a_run_without_extras_says_what_was_not_measured() -> None:
    run = a_run(genres=(), ladder=[], lag=None, add_items_s=[])
    bare = run.requests.filter(kind="recs").with_columns(sources=pl.lit([], pl.List(pl.String)))
    text = report(Run(run.facts, run.catalogue, bare))
    Page(text)
    assert "Not measured: the run was made without the ladder." in text
    assert "Feedback lag: not measured." in text
    assert "By genre" not in text
    assert "By source" not in text
    assert "not measured" in text[text.index('id="answers"') :]


def test_a_run_in_which_everything_failed_renders() -> None:
    text = report(failed(a_run()))
    Page(text)
    assert "<b>0.0</b> of 40" in text
    assert "unknown</td>" in text  # what was lost when every list failed


def test_lists_that_nobody_could_have_made_better_are_not_measured() -> None:
    run = a_run()
    hopeless = run.requests.with_columns(
        pl.col("hits").list.eval(pl.element() & False),
        relevant=pl.lit(0, pl.Int32),
        remaining=pl.lit(0, pl.Int32),
    )
    text = report(Run(run.facts, run.catalogue, hopeless))
    assert "not measured" in text[text.index('id="card"') : text.index('id="ladder"')]


def test_without_answers_the_curves_are_empty() -> None:
    nothing = requests(0)
    assert len(series.p95_over_time(nothing).x) == 0
    assert len(series.not_slower(series.milliseconds(nothing)).x) == 0


def test_a_profile_of_ones_own_is_among_the_points() -> None:
    assert "precision=hits,ndcg=all" in report(a_run(), "precision=hits,ndcg=all")


def test_many_sources_are_not_all_listed() -> None:
    run = a_run()
    named = run.requests.with_columns(sources=pl.col("items").list.eval(pl.format("item {}", pl.element())))
    text = report(Run(run.facts, run.catalogue, named))
    assert "all other sources" in text
    assert text.count(">item ") == MOST_SOURCES


def test_warnings_stand_first() -> None:
    text = report(a_run(ended_early=True))
    assert text.index("The run was ended early") < text.index("of 40\n")


def test_coverage_grows_to_that_of_the_run() -> None:
    lists = a_run().lists
    curve = series.coverage_over_run(lists)
    assert curve.x[0] == curve.y[0] == 0
    assert np.all(np.diff(curve.y) >= 0)
    assert curve.y[-1] == pytest.approx(len(np.unique(lists.items)) / ITEMS)


def test_precision_over_the_run_has_the_mean_of_the_run() -> None:
    lists: Lists = a_run(1_000).lists
    band = series.precision_over_run(lists, 0)
    assert len(band.x) == 10
    assert band.y.mean() == pytest.approx(lists.hits.mean())
    assert np.all((band.low <= band.y) & (band.y <= band.high))


def test_the_command_repeats_the_run() -> None:
    settings = facts()["settings"] | {
        "world": "movielens:/data/my films 1.0",
        "explain": False,
        "ladder": False,
        "users": 5,
    }
    assert about.command(facts(settings=settings), "published").split(" \\\n  ") == [
        "python -m grader run",
        "--recs-url http://localhost:5001",
        "--interact-url http://localhost:5000",
        "--world 'movielens:/data/my films 1.0'",
        "--seed 3",
        "--users 5",
        "--lists 3.1",
        "--salt 7",
        "--no-explain",
        "--no-ladder",
        "--profile published",
    ]


@pytest.mark.parametrize(
    ("lag", "sentence"),
    [
        (None, "Feedback lag: not measured."),
        (LAG | {"reason": "nobody answered"}, "Feedback lag: not measured, nobody answered."),
        (LAG, "Half of reactions are in the next list within 50 ms, fewer than 95 % within 3.2 s."),
        (LAG | {"p95_s": 0.2}, "Half of reactions are in the next list within 50 ms, 95 % within 200 ms."),
        (LAG | {"p50_s": None}, "Fewer than half of reactions are in the next list within 3.2 s."),
    ],
)
def test_the_lag_in_words(lag: dict[str, Any] | None, sentence: str) -> None:
    assert lag_sentence(lag) == sentence
