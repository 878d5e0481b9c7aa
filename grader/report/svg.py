"""From a matplotlib figure to SVG inside a page: its text in the page's font, its colours those of the page's scheme.

Nothing that comes from a run is written in a figure, only numbers and our own words: matplotlib reads $ as mathematics.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Final
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Drawn in colours that are used for nothing else, then named: what they look like is up to the page's style sheet.
INK, MUTED, LINE, LISTS, REACTIONS = (f"#00000{n}" for n in range(1, 6))
VARIABLES: Final = {INK: "ink", MUTED: "muted", LINE: "line", LISTS: "lists", REACTIONS: "reactions"}
WIDTH_IN: Final = 4.8  # 346 units, about the width of a phone
FONT_SIZE: Final = 12.0  # for a phone; the style sheet makes it smaller where the figure is drawn larger
SPACE: Final = "{http://www.w3.org/2000/svg}"
LINK: Final = "{http://www.w3.org/1999/xlink}href"
NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}


def new_axes(x_label: str, y_label: str, height_in: float = 3.0) -> tuple[Figure, Axes]:
    """Empty axes that begin at 0 below; ``y_label`` stands above them, where it is read without turning the head."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.set_xlabel(x_label, color=MUTED, fontsize=FONT_SIZE)
    axes.set_title(y_label, color=MUTED, fontsize=FONT_SIZE, loc="left", pad=8)
    axes.tick_params(colors=LINE, labelcolor=MUTED, labelsize=FONT_SIZE, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def to_svg(figure: Figure, name: str, title: str) -> Markup:
    """``name`` makes its ids unique in the page; ``title`` is what is read to those who do not see it."""
    file = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata=NO_METADATA)
    root = ElementTree.fromstring(file.getvalue())
    _drop(root, "metadata", "style")
    for element in root.iter():
        _adapt(element, name)
    return Markup(_serialised(root, name, title))  # every text in it is escaped by the serialiser


def _drop(root: ElementTree.Element, *names: str) -> None:
    """Also matplotlib's style sheet: in a page it would be one for the whole page."""
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in {SPACE + name for name in names}]:
            parent.remove(child)


def _adapt(element: ElementTree.Element, name: str) -> None:
    """HTML knows the names of SVG without their namespace."""
    element.tag = element.tag.removeprefix(SPACE)
    element.text, element.tail = (text if text and text.strip() else None for text in (element.text, element.tail))
    attributes = element.attrib
    if element.tag == "g":
        attributes.pop("id", None)
    if "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    if LINK in attributes:
        attributes["href"] = attributes.pop(LINK).replace("#", f"#{name}-")
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("#", f"#{name}-")
    if "style" in attributes:
        attributes["style"] = _themed(attributes["style"])


def _themed(style: str) -> str:
    """Colours by name; the font is that of the style sheet."""
    style = re.sub(r"font-(?:family|size): [^;]*(; |$)", "", style)
    return re.sub(r"#[0-9a-f]{6}", lambda match: f"var(--{VARIABLES.get(match[0], 'ink')})", style)


def _serialised(root: ElementTree.Element, name: str, title: str) -> str:
    for unwanted in ("width", "height", "version"):
        root.attrib.pop(unwanted, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title"}
    heading = ElementTree.Element("title", {"id": f"{name}-title"})
    heading.text = title
    root.insert(0, heading)
    return ElementTree.tostring(root, encoding="unicode")
