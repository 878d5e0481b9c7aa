"""The pictures behind the titles: one scene per genre, varied by a random generator. All fit into 200 by 300."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Palette:
    deep: str
    middle: str
    light: str


Scene = Callable[[Palette, random.Random], str]


def _circle(x: float, y: float, r: float, fill: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.1f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def _ring(x: float, y: float, r: float, colour: str, width: float, opacity: float = 1.0) -> str:
    return (
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.1f}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" '
        f'opacity="{opacity:.2f}"/>'
    )


def _shape(points: Sequence[tuple[float, float]], fill: str, opacity: float = 1.0) -> str:
    drawn = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    return f'<polygon points="{drawn}" fill="{fill}" opacity="{opacity:.2f}"/>'


def _box(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" fill="{fill}" '
        f'opacity="{opacity:.2f}"/>'
    )


def _ridge(rng: random.Random, base: float, rough: float, fill: str, step: float = 20, opacity: float = 1.0) -> str:
    tops = [(x * step - step, base - rng.uniform(0, rough)) for x in range(int(240 / step) + 1)]
    return _shape([(-20, 300), *tops, (240, 300)], fill, opacity)


def stars(palette: Palette, rng: random.Random) -> str:
    return "".join(
        _circle(rng.uniform(0, 200), rng.uniform(0, 190), rng.uniform(0.5, 1.6), "#fff", rng.uniform(0.4, 1))
        for _ in range(32)
    )


def planet(palette: Palette, rng: random.Random) -> str:
    x, y, r = rng.uniform(60, 140), rng.uniform(75, 120), rng.uniform(34, 54)
    tilt = rng.uniform(-28, 28)
    ring = (
        f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{r * 1.7:.0f}" ry="{r * 0.42:.0f}" fill="none" '
        f'stroke="{palette.light}" stroke-width="3" opacity=".8" transform="rotate({tilt:.0f} {x:.0f} {y:.0f})"/>'
    )
    shadow = _circle(x + r * 0.3, y + r * 0.2, r * 0.78, palette.deep, 0.35)
    return stars(palette, rng) + _circle(x, y, r, palette.middle) + shadow + ring


def moonlit(palette: Palette, rng: random.Random) -> str:
    x, y, r = rng.uniform(50, 150), rng.uniform(60, 100), rng.uniform(26, 42)
    glow = _circle(x, y, r * 1.5, palette.light, 0.10) + _circle(x, y, r, palette.light, 0.95)
    crater = _circle(x - r * 0.3, y + r * 0.2, r * 0.2, palette.deep, 0.15)
    return glow + crater + _ridge(rng, 175, 70, palette.deep, 9, 0.95) + _ridge(rng, 215, 40, "#000", 12)


def desert(palette: Palette, rng: random.Random) -> str:
    x = rng.uniform(60, 140)
    sun = _circle(x, 120, 46, palette.light, 0.9)
    left, width = rng.uniform(-20, 90), rng.uniform(50, 80)
    mesa = _shape([(left, 190), (left + 12, 125), (left + width - 12, 125), (left + width, 190)], palette.deep, 0.95)
    return sun + mesa + _ridge(rng, 190, 10, palette.deep, 40) + _ridge(rng, 215, 8, "#000", 40, 0.6)


def blinds(palette: Palette, rng: random.Random) -> str:
    tilt = rng.uniform(-16, -6)
    slats = "".join(_box(-40, y, 280, 9, palette.light, 0.16 + 0.5 * (1 - y / 230)) for y in range(0, 230, 19))
    figure = _circle(140, 118, 21, "#000") + _box(104, 102, 72, 6, "#000") + _box(121, 86, 38, 18, "#000")
    coat = _shape([(92, 300), (104, 160), (124, 140), (156, 140), (178, 160), (190, 300)], "#000")
    return f'<g transform="rotate({tilt:.0f} 100 110)">{slats}</g>{figure}{coat}'


def skyline(palette: Palette, rng: random.Random) -> str:
    parts = [_circle(rng.uniform(40, 160), rng.uniform(50, 90), rng.uniform(18, 30), palette.light, 0.85)]
    x = -6.0
    while x < 200:
        width, top = rng.uniform(22, 40), rng.uniform(85, 170)
        parts.append(_box(x, top, width, 300 - top, palette.deep))
        lit = [(wx, wy) for wx in range(int(x) + 5, int(x + width) - 5, 8) for wy in range(int(top) + 8, 220, 12)]
        parts += [_box(wx, wy, 3, 5, palette.light, 0.8) for wx, wy in lit if rng.random() < 0.28]
        x += width + rng.uniform(0, 3)
    return "".join(parts)


def hearts(palette: Palette, rng: random.Random) -> str:
    y, r, apart = rng.uniform(85, 115), rng.uniform(42, 54), rng.uniform(24, 34)
    tilt = rng.uniform(-20, 20)
    pair = _circle(100 - apart, y, r, palette.light, 0.75) + _circle(100 + apart, y, r, palette.middle, 0.85)
    rings = "".join(_ring(100, y, r + 24 + 16 * i, palette.light, 1.2, 0.35 - 0.08 * i) for i in range(4))
    return f'{rings}<g transform="rotate({tilt:.0f} 100 {y:.0f})">{pair}</g>'


def rays(palette: Palette, rng: random.Random) -> str:
    x, y, count = rng.uniform(70, 130), rng.uniform(90, 130), rng.choice((12, 14, 16, 18))
    turn = rng.uniform(0, 1)
    beams = []
    for i in range(count):
        a, b = (2 * math.pi * (i + turn + part) / count for part in (0, 0.5))
        ends = [(x + 260 * math.cos(angle), y + 260 * math.sin(angle)) for angle in (a, b)]
        beams.append(_shape([(x, y), *ends], palette.light, 0.24))
    return "".join(beams) + _circle(x, y, 30, palette.light, 0.95) + _circle(x, y, 20, palette.middle)


def confetti(palette: Palette, rng: random.Random) -> str:
    parts = [_circle(rng.uniform(50, 150), rng.uniform(90, 120), 52, palette.light, 0.9)]
    for _ in range(26):
        x, y, turn = rng.uniform(0, 200), rng.uniform(0, 200), rng.uniform(0, 180)
        colour = rng.choice((palette.deep, "#fff", palette.light, palette.middle))
        piece = _box(x, y, rng.uniform(5, 16), rng.uniform(4, 7), colour, 0.85)
        parts.append(f'<g transform="rotate({turn:.0f} {x:.0f} {y:.0f})">{piece}</g>')
    return "".join(parts)


def bubbles(palette: Palette, rng: random.Random) -> str:
    colours = (palette.light, "#fff", palette.middle, palette.deep)
    return "".join(
        _circle(
            rng.uniform(0, 200), rng.uniform(0, 200), rng.uniform(8, 40), rng.choice(colours), rng.uniform(0.35, 0.85)
        )
        for _ in range(14)
    )


def mountains(palette: Palette, rng: random.Random) -> str:
    sun = _circle(rng.uniform(50, 150), rng.uniform(65, 95), rng.uniform(20, 32), palette.light, 0.95)
    far, near = _ridge(rng, 160, 70, palette.middle, 34, 0.9), _ridge(rng, 195, 60, palette.deep, 28, 0.9)
    return sun + _ridge(rng, 145, 60, palette.light, 40, 0.25) + far + near


def battlefield(palette: Palette, rng: random.Random) -> str:
    beams = "".join(
        _shape([(x, 210), (x + lean - 9, -10), (x + lean + 9, -10)], palette.light, 0.22)
        for x, lean in ((rng.uniform(10, 190), rng.uniform(-90, 90)) for _ in range(4))
    )
    return beams + _ridge(rng, 190, 24, palette.deep, 14) + _ridge(rng, 215, 16, "#000", 20, 0.7)


def spiral(palette: Palette, rng: random.Random) -> str:
    x, y = rng.uniform(75, 125), rng.uniform(95, 120)
    rings = "".join(
        _ring(x + 3 * math.cos(i), y + 3 * math.sin(i), 14 + 11 * i, palette.light, 2.2, 0.8 - 0.08 * i)
        for i in range(9)
    )
    return rings + _circle(x, y, 8, palette.light)


def castle(palette: Palette, rng: random.Random) -> str:
    x = rng.uniform(55, 105)
    parts = [stars(palette, rng), _circle(x + 20, 110, 62, palette.light, 0.25)]
    for offset, width, top in ((0, 16, 120), (18, 22, 95), (42, 16, 130)):
        left = x + offset
        roof = [(left - 3, top), (left + width / 2, top - 30), (left + width + 3, top)]
        parts += [_box(left, top, width, 110, palette.deep), _shape(roof, palette.deep)]
    return "".join(parts) + _ridge(rng, 200, 26, palette.deep, 22)


def film_strip(palette: Palette, rng: random.Random) -> str:
    tilt = rng.uniform(-14, 14)
    holes = "".join(_box(x, y, 9, 9, palette.light, 0.9) for y in (62, 148) for x in range(-36, 240, 18))
    frames = "".join(_box(x, 78, 62, 62, palette.light, rng.uniform(0.35, 0.85)) for x in range(-60, 240, 72))
    return f'<g transform="rotate({tilt:.0f} 100 110)">{_box(-60, 54, 320, 112, "#000", 0.75)}{holes}{frames}</g>'


def stage(palette: Palette, rng: random.Random) -> str:
    lights = "".join(
        _shape([(x, -10), (aim - 34, 230), (aim + 34, 230)], palette.light, 0.26)
        for x, aim in ((30, rng.uniform(60, 160)), (100, rng.uniform(40, 160)), (170, rng.uniform(40, 140)))
    )
    return lights + f'<ellipse cx="100" cy="215" rx="96" ry="22" fill="{palette.light}" opacity=".4"/>'


def abstract(palette: Palette, rng: random.Random) -> str:
    x, y = rng.choice((-10, 100, 210)), rng.uniform(60, 150)
    arcs = "".join(_ring(x, y, 34 + 26 * i, palette.light, 9, 0.62 - 0.09 * i) for i in range(6))
    return arcs + _circle(x, y, 22, palette.light, 0.9)


SCENES: Final[dict[str, Scene]] = {
    "Film-Noir": blinds,
    "Western": desert,
    "Horror": moonlit,
    "Sci-Fi": planet,
    "War": battlefield,
    "Musical": stage,
    "Documentary": film_strip,
    "Animation": bubbles,
    "Children": confetti,
    "Fantasy": castle,
    "Mystery": spiral,
    "Crime": skyline,
    "Adventure": mountains,
    "Romance": hearts,
    "Thriller": skyline,
    "Action": rays,
    "Comedy": confetti,
    "Drama": abstract,
}
