"""Turn DOT into SVG, PNG, PDF and HTML: by the program `dot`, in process, or as plain text."""

from __future__ import annotations

import contextlib
import hashlib
import html
import logging
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from epnas_dsl.errors import ConfigError
from epnas_dsl.files import overwrite
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing.canvas import DARK, PAPER, darkened, width_of
from epnas_dsl.space.drawing.cells import draw_cell
from epnas_dsl.space.drawing.spaces import draw_space
from epnas_dsl.space.search_space import SearchSpace

if TYPE_CHECKING:
    from graphviz import Digraph

SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".html")
PNG_DPI = "192"
SECONDS = 120  # for the program `dot`

_log = logging.getLogger(__name__)
_engine = threading.Lock()  # the layout library has global state


def render(dot: Digraph | str, path: str | Path, dark: bool = False) -> Path:
    """Write a picture; its suffix says how: .svg .png .pdf .dot .html.

    Where neither the program `dot` nor pygraphviz works, a .png or .pdf becomes an .html page that
    shows the DOT text, with a warning in the log.

    Returns:
        The path of what was written.

    Raises:
        ConfigError: another suffix (E801), or a place that cannot be written (E802).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"`{path.name}` has no suffix of a picture; possible are {' '.join(SUFFIXES)}",
            code="E801",
        )
    source = darkened(_source(dot)) if dark else _source(dot)
    if suffix == ".dot":
        data: bytes | None = source.encode()
    elif suffix in {".svg", ".html"}:
        svg = to_svg(source)
        data = (_page(svg, dark) if suffix == ".html" else svg).encode()
    else:
        data = _rendered(source, suffix[1:])
    if data is None:
        path = path.with_suffix(".html")
        _log.warning("nothing here renders %s; %s holds the picture's text", suffix, path)
        data = _page(to_svg(source), dark).encode()
    _write(path, data)
    return path


def to_svg(dot: Digraph | str) -> str:
    """An <svg> element that can stand alone or in a page: titled, its ids like no other's.

    Its description is the text of what is drawn, and its words are as wide as those of Helvetica,
    whatever font shows them. Where nothing renders, it shows the DOT text.
    """
    source = _source(dot)
    data = _rendered(source, "svg")
    if data is None:
        return _text_svg(source)
    text = data.decode()
    text = re.sub(r"<!--.*?-->\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    prefix = "d" + hashlib.blake2b(source.encode(), digest_size=4).hexdigest()
    text = re.sub(r'\bid="((?:graph|node|edge|clust)\d+)"', rf'id="{prefix}-\1"', text)
    title = re.search(r'class="graph"[^>]*>\s*(<title>.*?</title>)', text, flags=re.DOTALL)
    about = re.search(r'about="((?:[^"\\]|\\.)*)"', source)
    words = html.escape(re.sub(r"\\(.)", r"\1", about[1])) if about else ""
    text = re.sub(r'(<text [^>]*font-size="([^"]*)"[^>]*)>([^<]*)', _fitted, text)
    head, body = text.split(">", 1)
    body = re.sub(r"<title>.*?</title>\n?", "", body, flags=re.DOTALL)  # names of nodes in DOT
    return f'{head} role="img">\n{title[1] if title else ""}<desc>{words}</desc>{body}'


def _fitted(text: re.Match[str]) -> str:
    wide = width_of(html.unescape(text[3]), float(text[2]))
    return f'{text[1]} textLength="{wide:.2f}" lengthAdjust="spacingAndGlyphs">{text[3]}'


def mimebundle(shown: Architecture | SearchSpace) -> dict[str, str]:
    """What a notebook shows of one: its drawing, or else its text; never an error."""
    bundle = {"text/plain": repr(shown)}
    try:
        dot = draw_cell(shown) if isinstance(shown, Architecture) else draw_space(shown)
        bundle["image/svg+xml"] = to_svg(dot)
    except Exception:  # a notebook's cell must not fail because a picture does
        _log.debug("no drawing", exc_info=True)
    return bundle


def _source(dot: Digraph | str) -> str:
    return dot if isinstance(dot, str) else str(dot.source)


def _rendered(source: str, kind: str) -> bytes | None:
    """The picture by the first engine that works, or None."""
    for engine in (_by_program, _in_process):
        try:
            data = engine(source, kind)
        except Exception as error:  # whatever is wrong with an engine, the next one may work
            _log.debug("%s: %s", engine.__name__, error)
        else:
            if data:
                return data
    return None


def _by_program(source: str, kind: str) -> bytes | None:
    program = shutil.which("dot")
    if not program:
        return None
    command = [program, f"-T{kind}", *([f"-Gdpi={PNG_DPI}"] if kind == "png" else [])]
    done = subprocess.run(
        command, input=source.encode(), capture_output=True, timeout=SECONDS, check=True
    )
    return done.stdout


def _in_process(source: str, kind: str) -> bytes | None:
    from pygraphviz import AGraph

    with _engine, _quiet():
        graph = AGraph(string=source)
        if kind == "png":
            graph.graph_attr["dpi"] = PNG_DPI
        prog = graph.graph_attr.get("layout") or "dot"
        return bytes(graph.draw(format=kind, prog=prog))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the layout library remarks on fonts away from the terminal."""
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    if sys.stderr:
        sys.stderr.flush()
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _text_svg(source: str) -> str:
    long = source.expandtabs(2).splitlines()
    lines = [x for line in long for x in textwrap.wrap(line, 120, subsequent_indent="    ")]
    width, height = 8 * max(map(len, lines), default=1) + 20, 16 * len(lines) + 20
    rows = "\n".join(
        f'<text x="10" y="{16 * i + 20}" xml:space="preserve">{html.escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'font-family="monospace" font-size="13">\n<title>{html.escape(lines[0])}</title>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{rows}\n</svg>\n'
    )


def _page(svg: str, dark: bool) -> str:
    paper = DARK[PAPER] if dark else PAPER
    title = re.search(r"<title>.*?</title>", svg, flags=re.DOTALL)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{title[0] if title else '<title>drawing</title>'}\n"
        f"<style>body {{ margin: 1rem; background: {paper}; }} "
        "svg { max-width: 100%; height: auto; }"
        f"</style>\n</head>\n<body>\n{svg}\n</body>\n</html>\n"
    )


def _write(path: Path, data: bytes) -> None:
    if path.is_dir():
        raise ConfigError(f"`{path}` is a folder, not a picture", code="E802")
    try:
        overwrite(path, data)
    except OSError as error:
        missing = not path.parent.is_dir()
        raise ConfigError(
            f"`{path}` cannot be written: {error.strerror or error}", code="E802",
            hint=f"make the folder `{path.parent}` first" if missing else "choose another place",
        ) from None  # fmt: skip
