"""Turn the parts of a picture into DOT: one look, colours and labels for all drawings.

The colours are tints of the palette of Okabe and Ito (2008), which people of any colour vision can
tell apart; every text is dark on light. A dark page has the same picture in the colours of `DARK`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from epnas_dsl.errors import ConfigError, LimitError, nearest, printable
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph

FONT = "Helvetica,Arial,Liberation Sans,DejaVu Sans Condensed,sans-serif"  # about equally wide
WIDER = 1.1  # the widest of them, and a bit
_WIDTHS = {c: wide for wide, some in {  # thousandths of the size, in Helvetica; all others 556
    222: "ijl", 278: " \N{NO-BREAK SPACE}!,./:;I[\\]ft|'\N{MIDDLE DOT}", 333: "()-`r{}\"",
    389: "*^", 500: "Jcksvxyz", 584: "+<=>~\N{MULTIPLICATION SIGN}", 611: "FTZ",
    667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ", 833: "Mm", 944: "%@W\N{HORIZONTAL ELLIPSIS}",
}.items() for c in some}  # fmt: skip
TIMES = "\N{MULTIPLICATION SIGN}"
MAX_DRAWN = 2_000  # nodes and edges: the layout of more takes minutes, and nobody could read it

PAPER, INK, GREY, PALE, FADED = "#ffffff", "#1a1a1a", "#595959", "#8c8c8c", "#c9c9c9"
FAMILIES = {  # fill and border
    "convolution": ("#cce3f0", "#0072b2"),
    "depthwise": ("#ccece3", "#009e73"),
    "pooling": ("#faeccc", "#c78800"),
    "identity": (PAPER, "#737373"),
    "zero": (PAPER, "#a6a6a6"),
    "activation": ("#fcfad9", "#99900f"),
    "head": ("#f5e4ed", "#b05f8b"),
    "cell": ("#ddf0fb", "#3c94c4"),
    "reduction": ("#f9e0cf", "#d55e00"),
    "join": ("#ececec", "#737373"),
    "input": ("#404040", "#404040"),
}
DARK = {  # what each colour is on a dark page
    PAPER: "#1b1c1e", INK: "#f2f2f2", GREY: "#b8b8b8", PALE: "#8a8d91", FADED: "#4a4d51",
    "#cce3f0": "#123f59", "#0072b2": "#56b4e9", "#ccece3": "#0b4436", "#009e73": "#2fc79b",
    "#faeccc": "#4f3a05", "#c78800": "#e69f00", "#737373": "#9a9a9a", "#a6a6a6": "#77797c",
    "#fcfad9": "#403d0a", "#99900f": "#d9cf3f", "#f5e4ed": "#4d2a3d", "#b05f8b": "#d98cb5",
    "#ddf0fb": "#1f4a63", "#3c94c4": "#6fc3ee", "#f9e0cf": "#5a2b0a", "#d55e00": "#f08a3c",
    "#ececec": "#35373a", "#404040": "#d6d6d6",
}  # fmt: skip
_DEPTHWISE = ("dw_conv", "sep_conv", "dil_conv", "mbconv")
_SIZED = re.compile(r"(\w+?)_(\d+x\d+(?:_\d+x\d+)*)")


def canvas(name: str, about: str = "") -> Digraph:
    """An empty picture, in which every node has its place.

    Args:
        about: what a reader who cannot see the picture is told, on one line.
    """
    from graphviz import Digraph, nohtml

    dot = Digraph(nohtml(_plain(name)))
    told = nohtml(_plain(short(" ".join(about.split()), 2_000)))
    dot.attr(
        "graph", bgcolor=PAPER, pad="0.1", about=told,
        layout="nop2", splines="line", outputorder="edgesfirst",
    )  # fmt: skip
    dot.attr(
        "node", shape="box", style="rounded,filled", fontname=FONT, fontcolor=INK, fontsize="10",
        fixedsize="true", margin="0",
    )  # fmt: skip
    dot.attr("edge", color=GREY, arrowsize="0.6")
    return dot


def width_of(text: str, size: float = 10) -> float:
    """How wide a text is in Helvetica, in points."""
    return size / 1000 * sum(_WIDTHS.get(character, 556) for character in text)


def darkened(source: str) -> str:
    """The same picture for a dark page."""
    return re.sub(r'(?<=")#[0-9a-f]{6}(?=")', lambda m: DARK.get(m[0], m[0]), source)


def short(text: str, most: int) -> str:
    """No longer than that many characters."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def label(*lines: str, justify: str = "\\n") -> str:
    """A label that shows the lines as they are, whatever stands in them."""
    from graphviz import nohtml

    last = justify if justify != "\\n" else ""  # it ends a line instead of parting two
    text: str = nohtml(justify.join(map(_plain, lines)) + last)
    return text


def place(name: str) -> str:
    """The name of a node in DOT: letters, digits and dots, so that nothing in it is syntax."""
    return re.sub(r"[^\w.]", "_", name)


def _plain(line: str) -> str:
    return printable(line).replace("\\", "\\\\")


def family(operation: str) -> str:
    """What an operation looks like."""
    if operation.startswith(_DEPTHWISE):
        return "depthwise"
    spec = OPERATIONS.get(operation)
    return spec.family if spec and spec.family in FAMILIES else "activation" if spec else "cell"


def cell_kind(space: SearchSpace, name: str) -> str:
    """What a cell looks like, or an operation."""
    if name not in space.cells:
        return family(name)
    return "reduction" if space.cells[name].names[name] > 1 else "cell"


def operation_lines(text: str, width: int = 18) -> list[str]:
    """The text of an operation on short lines: `sep_conv_3x3` is two, arguments follow."""
    name, bracket, rest = text.partition("(")
    sized = _SIZED.fullmatch(name)
    lines = list(sized.groups()) if sized else [name]
    arguments = rest.removesuffix(")") if bracket else ""
    return lines + textwrap.wrap(arguments, width, break_long_words=True)


def chip(lines: Sequence[str], kind: str, state: str = "") -> dict[str, str]:
    """The look of an alternative: strong where it is chosen, faded where another one is."""
    if state == "gone":
        look = {**_look(kind), "fillcolor": PAPER, "color": FADED, "fontcolor": PALE}
    else:
        look = {**_look(kind), "penwidth": "2.2" if state == "chosen" else "1"}
    return {**look, "label": label(*lines)}


def _look(kind: str) -> dict[str, str]:
    fill, border = FAMILIES[kind]
    style = "rounded,filled,dashed" if kind == "zero" else "rounded,filled"
    ink = {"zero": GREY, "input": PAPER}.get(kind, INK)
    return {"fillcolor": fill, "color": border, "style": style, "fontcolor": ink}


def drawn_bodies(space: SearchSpace, body: str | None) -> list[str]:
    """The names of the bodies to draw: those with decisions, or else the cells.

    Raises:
        ConfigError: there is no body of the name asked for (E804).
    """
    known = [name for b in space.bodies for name in b.names]
    if body is None:
        decided = dict.fromkeys(b.name for b, _ in space.statements)
        return list(decided) or [b.name for b in space.bodies[:-1]] or known[:1]
    if body not in known:
        raise ConfigError(
            f"{space.name} has no cell `{body}`; there are {', '.join(known)}", code="E804",
            hint=nearest(body, known),
        )  # fmt: skip
    return [body]


def body_title(space: SearchSpace, name: str) -> str:
    """All names of a body: `normal, reduction/2`."""
    body = next(b for b in space.bodies if name in b.names)
    return ", ".join(f"{n}/{s}" if s > 1 else n for n, s in body.names.items())


def check_size(drawn: int) -> None:
    """Refuse what nobody could read.

    Raises:
        LimitError: more than 2,000 nodes and edges.
    """
    if drawn > MAX_DRAWN:
        raise LimitError(
            f"a picture of {drawn:,} nodes and edges is too large; the most is {MAX_DRAWN:,}",
            code="E803", hint="draw one cell, or the space with smaller parameters",
        )  # fmt: skip
