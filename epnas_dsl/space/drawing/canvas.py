"""Turn the parts of a picture into DOT: one look, colours and labels for all drawings.

The colours are tints of the palette of Okabe and Ito (2008), which people of any colour vision can
tell apart; every text is dark on light. A dark page has the same picture in the colours of `DARK`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from epnas_dsl.errors import ConfigError, LimitError, nearest, printable
from epnas_dsl.space.operations import OPERATIONS
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph

FONT = "Helvetica,Arial,sans-serif"
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


def canvas(name: str, *title: str, about: str = "", fixed: bool = False) -> Digraph:
    """An empty picture with a title above it.

    Args:
        about: what a reader who cannot see the picture is told, on one line.
        fixed: every node has its place already.
    """
    from graphviz import Digraph, nohtml

    dot = Digraph(nohtml(_plain(name)))
    told = nohtml(_plain(short(" ".join(about.split()), 2_000)))
    dot.attr(
        "graph", label=label(*title, justify="\\l") if title else "", labelloc="t", labeljust="l",
        bgcolor=PAPER, fontname=FONT, fontsize="11", fontcolor=INK,
        nodesep="0.2", ranksep="0.3", pad="0.1", about=told,
    )  # fmt: skip
    if fixed:
        dot.attr("graph", layout="nop", splines="line", outputorder="edgesfirst")
        dot.attr("node", fixedsize="true", margin="0", fontsize="10")
    dot.attr(
        "node", shape="box", style="rounded,filled", fontname=FONT, fontcolor=INK, height="0.3",
        **({} if fixed else {"fontsize": "11", "width": "0.6", "margin": "0.11,0.05"}),
    )  # fmt: skip
    dot.attr("edge", color=GREY, arrowsize="0.6", fontname=FONT, fontsize="9", fontcolor=GREY)
    return dot


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


def place(*parts: str) -> str:
    """The name of a node in DOT: letters, digits and dots, so that nothing in it is syntax."""
    return re.sub(r"[^\w.]", "_", ".".join(p for p in parts if p))


def _plain(line: str) -> str:
    return printable(line).replace("\\", "\\\\")


def family(operation: str) -> str:
    """What an operation looks like."""
    if operation.startswith(_DEPTHWISE):
        return "depthwise"
    spec = OPERATIONS.get(operation)
    return spec.family if spec and spec.family in FAMILIES else "activation" if spec else "cell"


def operation_lines(text: str, width: int = 18) -> list[str]:
    """The text of an operation on short lines: `sep_conv_3x3` is two, arguments follow."""
    name, bracket, rest = text.partition("(")
    sized = _SIZED.fullmatch(name)
    lines = list(sized.groups()) if sized else [name]
    arguments = rest.removesuffix(")") if bracket else ""
    return lines + textwrap.wrap(arguments, width, break_long_words=True)


def box(dot: Digraph, name: str, lines: Sequence[str], kind: str, **attributes: str) -> None:
    """A rounded box in the colours of a family."""
    dot.node(name, label(*lines), **{**_look(kind), **attributes})


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


def join(dot: Digraph, name: str, operator: str, **attributes: str) -> None:
    """Where values come together: `+` in a small circle, `concat` in a flat box."""
    if operator == "add":
        circle = {"shape": "circle", "width": "0.25", "fixedsize": "true", "fontsize": "13"}
        box(dot, name, ["+"], "join", **{**circle, "margin": "0", **attributes})
    else:
        box(dot, name, [operator], "join", **{"height": "0.25", **attributes})


def terminal(dot: Digraph, name: str, text: str) -> None:
    """What goes into a picture or comes out of it."""
    box(dot, name, [text], "input", height="0.28")


def frame(dot: Digraph, text: str, dashed: bool = False) -> None:
    """Make a cluster a box with a name in its corner."""
    dot.attr(
        label=label(text), style="dashed,rounded" if dashed else "rounded", color=PALE,
        labelloc="b" if dashed else "t", labeljust="l",
        fontsize="10" if dashed else "12", fontcolor=GREY if dashed else INK,
        margin="7" if dashed else "14", peripheries="1",
    )  # fmt: skip


def side_by_side(dot: Digraph, names: Sequence[str]) -> None:
    """Put nodes on one height, in this order."""
    with dot.subgraph() as row:
        row.attr(rank="same")
        for name in names:
            row.node(name)
        for left, right in pairwise(names):
            row.edge(left, right, style="invis")


def block_frame(dot: Digraph, text: str, last: str) -> None:
    """Make a cluster a dashed box, its name beside the last of its nodes.

    The name is a node, so that edges go round it.
    """
    dot.attr(label="", style="dashed,rounded", color=PALE, margin="7")
    name = place(last, "name")
    with dot.subgraph() as row:
        row.attr(rank="same")
        row.node(
            name, label(text), shape="plaintext", style="", fontsize="10", fontcolor=GREY,
            width="0.2", height="0.2", margin="0",
        )  # fmt: skip
        row.edge(last, name, style="invis", minlen="0")


def drawn_bodies(space: SearchSpace, body: str | None) -> list[str]:
    """The names of the bodies to draw: those with decisions, or else the first.

    Raises:
        ConfigError: there is no body of the name asked for (E804).
    """
    known = [name for b in space.bodies for name in b.names]
    if body is None:
        decided = dict.fromkeys(b.name for b, _ in space.statements)
        return list(decided) or known[:1]
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
