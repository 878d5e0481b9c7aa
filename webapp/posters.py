"""Posters drawn from title, year and genres: the same film always gets the same picture."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final
from xml.sax.saxutils import escape

from webapp.catalogue import Film
from webapp.scenes import SCENES, Palette, abstract

WIDTH: Final = 200
HEIGHT: Final = 300
MARGIN: Final = 14
# Genres that say most about how a film looks come first; the first that a film has gives scene and colours.
LOOKS: Final[dict[str, Palette]] = {
    "Film-Noir": Palette("#0d0f14", "#3a4150", "#e8e2d0"),
    "Western": Palette("#5c1f12", "#e08a3c", "#ffe0a3"),
    "Horror": Palette("#0c0a12", "#5a1020", "#f2e9d8"),
    "Sci-Fi": Palette("#060b26", "#22508f", "#7fe3f2"),
    "War": Palette("#23281c", "#7a6a3f", "#e9d9a6"),
    "Musical": Palette("#3b0b4d", "#c2337a", "#ffd166"),
    "Documentary": Palette("#12302f", "#3f7f78", "#f0efe2"),
    "Animation": Palette("#0d3b66", "#1fa3a3", "#ffd45c"),
    "Children": Palette("#1d4e89", "#53a6d8", "#ffdd67"),
    "Fantasy": Palette("#1c1240", "#6b4bb5", "#ffd8f0"),
    "Mystery": Palette("#101b2e", "#3c4f7a", "#e7c873"),
    "Crime": Palette("#141218", "#7a2231", "#f4c95d"),
    "Adventure": Palette("#0f3a35", "#3f8f5c", "#ffe08a"),
    "Romance": Palette("#4a1230", "#d2566f", "#ffd9c9"),
    "Thriller": Palette("#0f1720", "#33586b", "#ff7a59"),
    "Action": Palette("#3a0d0a", "#c7401f", "#ffc857"),
    "Comedy": Palette("#7a3310", "#e0872c", "#fff0c2"),
    "Drama": Palette("#1f2238", "#5b5f8f", "#f3d9b1"),
}
MIXED_SHARE: Final = 0.6
PLAIN: Final = Palette("#23262e", "#565d6e", "#dfe3ec")
SERIF: Final = "Georgia, 'DejaVu Serif', serif"
SANS: Final = "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
WITH_SERIF: Final = frozenset({"Film-Noir", "Western", "Horror", "Mystery", "Romance", "Drama", "Fantasy"})
# Type sizes with the characters that fit into a line and the lines that fit at that size.
SIZES: Final = ((25, 11, 3), (20, 14, 4), (16, 17, 5), (13, 22, 6))


def draw(film: Film) -> str:
    rng = random.Random(f"{film.id} {film.title}")
    look, palette = _look(film, rng)
    scene = SCENES.get(look, abstract)(palette, rng)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"{_gradients(palette)}"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#sky)"/>{scene}'
        f'<rect y="110" width="{WIDTH}" height="{HEIGHT - 110}" fill="url(#shade)"/>'
        f"{_lettering(film, palette, SERIF if look in WITH_SERIF else SANS)}</svg>"
    )


def _look(film: Film, rng: random.Random) -> tuple[str, Palette]:
    """The genre that gives the scene, and its colours, sometimes mixed with those of the film's next genre."""
    first, second, *_ = [*(genre for genre in LOOKS if genre in film.genres), "", ""]
    palette = LOOKS.get(first, PLAIN)
    if second and rng.random() < MIXED_SHARE:
        palette = replace(palette, middle=LOOKS[second].middle)
    return first, palette


def _gradients(palette: Palette) -> str:
    return (
        '<defs><linearGradient id="sky" x2="0" y2="1">'
        f'<stop stop-color="{palette.deep}"/><stop offset=".75" stop-color="{palette.middle}"/></linearGradient>'
        '<linearGradient id="shade" x2="0" y2="1"><stop stop-color="#000" stop-opacity="0"/>'
        '<stop offset=".55" stop-color="#000" stop-opacity=".62"/><stop offset="1" stop-color="#000" '
        'stop-opacity=".85"/></linearGradient></defs>'
    )


def _lettering(film: Film, palette: Palette, font: str) -> str:
    """Title from the bottom upwards, above it a short rule, below it year and first genres."""
    size, lines = fit(film.title)
    step = round(size * 1.14)
    first = HEIGHT - 34 - step * (len(lines) - 1)
    rows = "".join(f'<tspan x="{MARGIN}" y="{first + i * step}">{escape(line)}</tspan>' for i, line in enumerate(lines))
    small = escape("  ·  ".join(part for part in (film.year, " / ".join(film.genres[:2])) if part))
    return (
        f'<rect x="{MARGIN}" y="{first - size - 9}" width="26" height="3" fill="{palette.light}"/>'
        f'<text font-family="{font}" font-size="{size}" font-weight="700" fill="#fff">{rows}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 14}" font-family="{SANS}" font-size="10" letter-spacing=".6" '
        f'fill="{palette.light}">{small}</text>'
    )


def fit(title: str) -> tuple[int, list[str]]:
    """Type size, and the title in lines that fit at that size; cut short at the smallest."""
    for size, width, most in SIZES:
        lines = wrap(title, width)
        if len(lines) <= most and max(map(len, lines)) <= width:
            return size, lines
    cut = [line if len(line) <= width else line[: width - 1] + "…" for line in lines[:most]]
    if len(lines) > most:
        cut[-1] = cut[-1][: width - 1] + "…"
    return size, cut


def wrap(title: str, width: int) -> list[str]:
    """Lines of whole words, as long as they may be; a word that is longer has a line of its own."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
