"""The figures of the report as SVG. One colour means one thing in all of them: lists, or reactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from grader.report.series import Band, Curve
from grader.report.svg import FONT_SIZE, INK, LISTS, MUTED, REACTIONS, new_axes, to_svg
from grader.scoring import CARD, LATENCY_ROW

THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.0f}")
PLAIN: Final = FuncFormatter(lambda value, _: f"{value:,g}")
COVERAGE: Final = next(row for row in CARD if row.name == "coverage")
DENSE: Final = 15  # points; fewer are marked one by one


def precision_plot(band: Band, whole: float) -> Markup:
    """``whole``: precision of the run."""
    figure, axes = new_axes("lists asked for so far", "precision@10")
    axes.fill_between(band.x, band.low, band.high, color=LISTS, alpha=0.22, linewidth=0)
    _line(axes, Curve(band.x, band.y), LISTS)
    axes.axhline(whole, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylim(0, max(float(np.nanmax([*band.high, *band.y, 0])) * 1.08, 0.001))
    axes.set_xlim(0, band.x[0] + band.x[-1])
    _ticks(axes)
    title = f"Precision over the run: {band.y[0]:.4f} at first, {band.y[-1]:.4f} at last, {whole:.4f} in all."
    return to_svg(figure, "precision", title)


def coverage_plot(curve: Curve) -> Markup:
    figure, axes = new_axes("lists asked for so far", "catalogue shown to somebody")
    axes.plot(curve.x, curve.y, color=LISTS, linewidth=1.8)
    for share, points in ((COVERAGE.none, 0), (COVERAGE.full, 10)):
        axes.axhline(share, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        at, side = (0, "left") if points else (curve.x[-1], "right")  # where the curve is not
        _note(axes, (at, share), f" {points} points ", ha=side, va="bottom")
    axes.set_ylim(0, 1)
    axes.set_xlim(0, curve.x[-1])
    _ticks(axes)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return to_svg(figure, "coverage", f"Cumulative catalogue coverage over the run: {curve.y[-1]:.1%} at last.")


def times_plot(lists: Curve, reactions: Curve) -> Markup:
    """Shares of answers by how long they took; either curve may be empty, not both."""
    figure, axes = new_axes("milliseconds, log scale", "answers that took no longer")
    for curve, color in ((reactions, REACTIONS), (lists, LISTS)):
        axes.step(curve.x, curve.y, where="post", color=color, linewidth=1.8)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    _limits(axes, np.concatenate([lists.x, reactions.x]))
    _points_at(axes)
    _log_ticks(axes)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return to_svg(figure, "times", "Distribution of the time of answers to lists and to reactions.")


def p95_plot(lists: Curve, reactions: Curve) -> Markup:
    figure, axes = new_axes("seconds since the first arrival", "95th percentile, ms, log scale")
    for curve, color in ((reactions, REACTIONS), (lists, LISTS)):
        _line(axes, curve, color)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set_xlim(0, max(*lists.x, *reactions.x, 1.0) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(PLAIN)
    return to_svg(figure, "p95", "95th percentile of the time of answers to lists and to reactions over the run.")


def lag_plot(shares: Sequence[tuple[float, float]]) -> Markup:
    """``shares``: seconds after the reaction, share of lists that reflect it; at least one."""
    figure, axes = new_axes("milliseconds from the accepted reaction to the list", "lists that reflect the reaction")
    delays_ms = [delay * 1000 for delay, _ in shares]
    axes.plot(delays_ms, [share for _, share in shares], color=LISTS, marker="o", markersize=4.5, clip_on=False)
    for share in (0.5, 0.95):
        axes.axhline(share, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xscale("symlog", linthresh=10, linscale=0.5)
    axes.xaxis.set_major_locator(FixedLocator([0, 10, 100, 1000]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.set_xlim(0, max(*delays_ms, 100) * 1.1)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return to_svg(figure, "lag", "Share of lists that reflect a reaction, by the time since it was accepted.")


def _line(axes: Axes, curve: Curve, color: str) -> None:
    axes.plot(curve.x, curve.y, color=color, linewidth=1.8, marker="o" if len(curve.x) < DENSE else None, markersize=4)


def _ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _limits(axes: Axes, times_ms: np.ndarray) -> None:
    """At least a decade, so that the scale has numbers."""
    low, high = float(times_ms.min()), float(times_ms.max())
    axes.set_xlim(min(low, high / 10) / 1.15, high * 1.15)


def _log_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(PLAIN)


def _points_at(axes: Axes) -> None:
    """Where the mean would have to be for all points and for none, if the times come near."""
    low, high = axes.get_xlim()
    for time_ms, points in ((LATENCY_ROW.full, 10), (LATENCY_ROW.none, 0)):
        if low < time_ms < high:
            axes.axvline(time_ms, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            _note(axes, (time_ms, 0.02), f" {points} points", ha="left", va="bottom")


def _note(axes: Axes, at: tuple[float, float], text: str, ha: str, va: str) -> None:
    axes.text(*at, text, color=INK, fontsize=FONT_SIZE, ha=ha, va=va)
