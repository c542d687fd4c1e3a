"""Turn the parts of a picture into DOT: one look, colours and labels for all drawings.

The colours are tints of the palette of Okabe and Ito (2008), which people of any colour vision can
tell apart. Drawings are light; `darkened` gives the colours of the dark theme to one.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from epnas_dsl.errors import LimitError, printable
from epnas_dsl.space.operations import OPERATIONS

if TYPE_CHECKING:
    from graphviz import Digraph

MAX_DRAWN = 2_000  # nodes and edges: the layout of more takes minutes, and nobody could read it

INK, GREY, PALE, PAPER = "#1a1a1a", "#595959", "#8c8c8c", "#fefefe"
DARK = {  # the dark theme, for each colour of the light one
    INK: "#f0f0f0", GREY: "#b8b8b8", PALE: "#8f8f8f", PAPER: "#16181c",
    "#ffffff": "#22252b", "#737373": "#a8a8a8", "#a6a6a6": "#7a7a7a", "#ececec": "#3a3d44",
    "#cce3f0": "#0f3d5c", "#0072b2": "#56b4e9", "#ccece3": "#0b4436", "#009e73": "#2fc79b",
    "#faeccc": "#523c0a", "#c78800": "#e69f00", "#fcfad9": "#45420f", "#99900f": "#f0e442",
    "#f5e4ed": "#4d2a3e", "#b05f8b": "#dd9fc2", "#ddf0fb": "#1d3a4d", "#3c94c4": "#7cc4ea",
    "#f9e0cf": "#5a2a0c", "#d55e00": "#ff8a3d", "#404040": "#d6d6d6", "#fafafa": "#111111",
    "#cfcfcf": "#4a4d54", "#949494": "#80838a",
}  # fmt: skip
FAMILIES = {  # fill and border
    "convolution": ("#cce3f0", "#0072b2"),
    "depthwise": ("#ccece3", "#009e73"),
    "pooling": ("#faeccc", "#c78800"),
    "identity": ("#ffffff", "#737373"),
    "zero": ("#ffffff", "#a6a6a6"),
    "activation": ("#fcfad9", "#99900f"),
    "head": ("#f5e4ed", "#b05f8b"),
    "cell": ("#ddf0fb", "#3c94c4"),
    "reduction": ("#f9e0cf", "#d55e00"),
    "join": ("#ececec", "#737373"),
    "left": ("#ffffff", "#cfcfcf"),
}
TAKEN = {"color": INK, "penwidth": "2"}  # edges of a path
LEFT = {"color": "#cfcfcf", "fontcolor": "#949494", "fillcolor": "#ffffff"}  # what it does not take
_DEPTHWISE = ("dw_conv", "sep_conv", "dil_conv", "mbconv")
_SIZED = re.compile(r"(\w+?)_(\d+x\d+(?:_\d+x\d+)*)")


def canvas(name: str, *title: str) -> Digraph:
    """An empty picture with a title above it."""
    from graphviz import Digraph, nohtml

    dot = Digraph(nohtml(_plain(name)))
    dot.attr(
        "graph", label=label(*title, justify="\\l") if title else "", labelloc="t", labeljust="l",
        bgcolor=PAPER, fontname="Helvetica,Arial,sans-serif", fontsize="11", fontcolor=INK,
        nodesep="0.2", ranksep="0.32", pad="0.15",
    )  # fmt: skip
    dot.attr(
        "node", shape="box", style="rounded,filled", fontname="Helvetica,Arial,sans-serif",
        fontsize="11", fontcolor=INK, width="0.6", height="0.3", margin="0.11,0.05",
    )  # fmt: skip
    dot.attr(
        "edge", color=GREY, arrowsize="0.6", fontname="Helvetica,Arial,sans-serif", fontsize="9",
        fontcolor=GREY,
    )  # fmt: skip
    return dot


def darkened(source: str) -> str:
    """DOT text in the dark theme; a colour is a whole attribute, so labels stay as they are."""
    return re.sub(r'(?<=")#[0-9a-f]{6}(?=")', lambda m: DARK.get(m[0], m[0]), source)


def title_lines(head: str, text: str = "", width: int = 84, most: int = 5) -> list[str]:
    """A head line and the text below it, wrapped; a text that takes more lines is left out."""
    lines = textwrap.wrap(text, width, break_long_words=True)
    return [head, *lines] if len(lines) <= most else [head]


def label(*lines: str, justify: str = "\\n") -> str:
    """A label that shows the lines as they are, whatever stands in them."""
    from graphviz import nohtml

    last = justify if justify == "\\l" else ""  # it ends a line instead of parting two
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
    fill, border = FAMILIES[kind]
    style = "rounded,filled,dashed" if kind == "zero" else "rounded,filled"
    ink = GREY if kind == "zero" else INK
    look = {"fillcolor": fill, "color": border, "style": style, "fontcolor": ink}
    dot.node(name, label(*lines), **{**look, **attributes})


def join(dot: Digraph, name: str, operator: str, **attributes: str) -> None:
    """Where values come together: `+` in a small circle, `concat` in a flat box."""
    if operator == "add":
        circle = {"shape": "circle", "width": "0.25", "fixedsize": "true", "fontsize": "13"}
        box(dot, name, ["+"], "join", **{**circle, "margin": "0", **attributes})
    else:
        box(dot, name, [operator], "join", **{"height": "0.25", **attributes})


def terminal(dot: Digraph, name: str, text: str, **attributes: str) -> None:
    """What goes into a picture or comes out of it."""
    look = {"fillcolor": "#404040", "color": "#404040", "fontcolor": "#fafafa", "height": "0.28"}
    dot.node(name, label(text), **{**look, "penwidth": "0", **attributes})


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


def table(chips: Sequence[tuple[str, str]], columns: int, above: str = "", below: str = "") -> str:
    """An HTML-like label: a grid of texts, each in the colours of its family."""
    cells = [
        f'<TD BGCOLOR="{FAMILIES[kind][0]}" COLOR="{FAMILIES[kind][1]}" BORDER="1" '
        f'STYLE="ROUNDED" CELLPADDING="2">{_chip(text, kind)}</TD>'
        for text, kind in chips
    ]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    grid = "".join(f"<TR>{''.join(row)}</TR>" for row in rows)
    notes = [
        f'<TR><TD COLSPAN="{columns}" BORDER="0"><I>{_html(text)}</I></TD></TR>' if text else ""
        for text in (above, below)
    ]
    return f'<<TABLE BORDER="0" CELLSPACING="3">{notes[0]}{grid}{notes[1]}</TABLE>>'


def _chip(text: str, kind: str) -> str:
    lines = "<BR/>".join(map(_html, text.split("\n")))
    return f'<FONT COLOR="{LEFT["fontcolor"]}">{lines}</FONT>' if kind == "left" else lines


def _html(text: str) -> str:
    return html.escape(printable(text[:200]))
