"""Drawings: golden DOT, safe labels, and files that are whole whatever is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

from epnas_dsl.errors import ConfigError, LimitError
from epnas_dsl.lang.loading import load_architecture, load_space, read_space
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.drawing import (
    diff_cells,
    draw_cell,
    draw_network,
    draw_space,
    mimebundle,
    render,
    rendering,
    to_svg,
)
from epnas_dsl.space.drawing.canvas import (
    DARK,
    FADED,
    FAMILIES,
    FONT,
    WIDER,
    drawn_bodies,
    width_of,
)
from epnas_dsl.space.drawing.sheets import MARKS
from epnas_dsl.space.expansion import sample
from epnas_dsl.space.graph import body_nodes
from epnas_dsl.space.neighbours import neighbours

A, B, C = MARKS[:3]
TESTS = Path(__file__).parents[1]
SPACES = ["darts", "macro", "micro", "nasbench201", "pnas"]
Golden = Callable[[str, str], None]

SMALL = "micro(blocks=2): h1 = conv_3x3(prev1) + skip_connect(prev2); h2 = {}(h1) + dw_conv_5x5({})"


def small(operation: str = "max_pool_3x3", source: str = "prev1") -> Architecture:
    return load_architecture(SMALL.format(operation, source))


def first_two(name: str) -> list[Architecture]:
    return sample(load_space(name), 2, np.random.default_rng(7))


@pytest.mark.parametrize("name", SPACES)
def test_dot_of_spaces_and_their_members(name: str, golden: Golden) -> None:
    one, two = first_two(name)
    golden(f"drawing/{name}.cell.dot", draw_cell(one).source)
    golden(f"drawing/{name}.network.dot", draw_network(one).source)
    golden(f"drawing/{name}.space.dot", draw_space(one.space).source)
    golden(f"drawing/{name}.diff.dot", diff_cells(one, two).source)


def test_every_level_is_drawn() -> None:
    architecture = first_two("micro")[0]
    for level in range(1, architecture.space.depth + 1):
        source = draw_cell(architecture.at(level)).source
        assert re.findall(r'label="(h\d)\\r"', source) == [f"h{b}" for b in range(1, level + 1)]


def test_one_body_or_all() -> None:
    darts = first_two("darts")[0]
    assert draw_cell(darts).source.count('label="normal\\l"') == 1
    assert draw_cell(darts).source.count('label="reduction/2\\l"') == 1
    assert "reduction" not in draw_cell(darts, "normal").source.split("]", 1)[1]
    assert "stack\\nnormal*6" in draw_cell(darts, "network").source
    with pytest.raises(ConfigError, match="normal, reduction, network") as caught:
        draw_cell(darts, "norml")
    assert caught.value.diagnostics[0].code == "E804"
    assert "normal" in caught.value.diagnostics[0].hint


def test_equal_cells_are_folded_and_shapes_are_told() -> None:
    source = draw_network(small(), (3, 16, 16)).source
    assert source.count("normal  × 2") == 3
    assert source.count('label="normal, reduction/2\\l"') == 1
    assert re.findall(r'label="(h\d)\\r"', source) == ["h1", "h2"]
    assert source.count("label=reduction ") == 2
    for shape in (
        "3 × 16 × 16",
        "24 × 16 × 16",
        "48 × 8 × 8",
        'label="10\\r"',
    ):
        assert shape in source


def test_functions_are_folded_like_cells() -> None:
    text = """
    space plain()
    def twice(x) { return conv_3x3(conv_3x3(x)) }
    network (image) {
        x = conv_3x3(image, 8)
        for i in 1..4 { x = twice(x) }
        return linear(global_avg_pool(x), 10)
    }
    """
    source = draw_network(Architecture(read_space(text), ())).source
    assert source.count("twice") == 1
    assert "twice  × 4" in source


def test_a_difference_tells_what_changed() -> None:
    source = diff_cells(small(), small("avg_pool_3x3", "prev2")).source
    assert "max_pool 3x3\\nbecomes\\navg_pool 3x3" in source
    assert source.count("\\nbecomes\\n") == 1
    reads = re.findall(r'"normal.h2.op\d" \[color="(#\w+)"', source)
    assert sorted(reads) == ["#0072b2", "#a6a6a6", "#d55e00"]


Box = tuple[float, float, float, float]
SPOT = r'pos="([-\d.]+),([-\d.]+)"'


def frames(source: str) -> dict[str, Box]:
    """The blocks in their order: where each begins and ends, from the left and from below."""
    names = re.findall(r'label="(\w+)\\r"', source)
    look = rf'height=([\d.]+) .*{SPOT} shape=box style="dashed,rounded" width=([\d.]+)'
    sizes = [tuple(map(float, f)) for f in re.findall(look, source)]
    return {
        name: (x - 36 * wide, x + 36 * wide, y - 36 * high, y + 36 * high)
        for name, (high, x, y, wide) in zip(names, sizes, strict=True)
    }


def inside(box: Box, spot: tuple[float, ...]) -> bool:
    return box[0] + 1 < spot[0] < box[1] - 1 and box[2] + 1 < spot[1] < box[3] - 1


@pytest.mark.parametrize("name", ["micro", "micro(blocks=10)", "nasnet", "darts", "enas_micro"])
def test_blocks_stand_in_the_order_of_the_text(name: str) -> None:
    """Below what they read, and in a row from left to right; none lies upon another."""
    for one in sample(load_space(name), 10, np.random.default_rng(11)):
        body = one.space.bodies[0].name
        listing = body_nodes(one, body)
        found = frames(draw_cell(one, body).source)
        assert len(found) > 2
        order = dict.fromkeys(n.name.split(".")[0] for n in listing)
        assert [b for b in order if b in found] == list(found)
        rows: dict[float, list[float]] = {}
        for left, _, _, top in found.values():
            rows.setdefault(round(top, 1), []).append(left)
        assert all(row == sorted(row) for row in rows.values())
        for node in listing:
            block = node.name.split(".")[0]
            for read in {i.split(".")[0] for i in node.inputs} & found.keys() - {block}:
                assert block not in found or found[block][3] < found[read][2]
        for box in found.values():
            middles = [((b[0] + b[1]) / 2, (b[2] + b[3]) / 2) for b in found.values()]
            corners = [(x, y) for b in found.values() for x in b[:2] for y in b[2:]]
            assert sum(inside(box, spot) for spot in middles + corners) == 1


def test_edges_pass_between_blocks() -> None:
    """No edge crosses the frame of a block that it neither leaves nor enters."""
    for one in sample(load_space("micro(blocks=10)"), 10, np.random.default_rng(12)):
        source = draw_cell(one).source
        spots = {
            n: (float(x), float(y))
            for n, x, y in re.findall(rf'^\t"?([\w.]+)"? \[.*? {SPOT}', source, re.MULTILINE)
        }
        edges = re.findall(
            r'^\t"?([\w.]+)"? -> "?([\w.]+)"? .*pos="e,([^"]+)"', source, re.MULTILINE
        )
        assert len(edges) > 40
        for tail, head, path in edges:
            points = [tuple(map(float, p.split(","))) for p in path.split()]
            for box in frames(source).values():
                if not inside(box, spots[tail]) and not inside(box, spots[head]):
                    assert not any(inside(box, point) for point in points)


def test_functions_of_other_depths_are_drawn_downwards() -> None:
    space = read_space("""
    space nested()
    op := conv_3x3 | sep_conv_3x3
    def inner(x) { y = op(x) + op(x); return relu(y) }
    def outer(x, times) {
        for i in 1..times { x = inner(x) }
        return x + conv_1x1(x)
    }
    cell normal (prev) {
        h[0] = outer(prev, times=1|2|3)
        h[1] = op(h[0]) | inner(h[0])
        return concat(unused(h))
    }
    network (image) { return linear(global_avg_pool(normal(conv_3x3(image, 8))), 10) }
    """)
    found = sample(space, 8, np.random.default_rng(5))
    for one, two in product(found, found):
        source = diff_cells(one, two).source
        high = {
            n: float(y)
            for n, _, y in re.findall(rf'^\t"?([\w.]+)"? \[.*? {SPOT}', source, re.MULTILINE)
        }
        edges = re.findall(r'^\t"?([\w.]+)"? -> "?([\w.]+)"? ', source, re.MULTILINE)
        assert edges
        assert all(high[head] < high[tail] for tail, head in edges)


def test_cells_without_decisions_are_all_compared() -> None:
    for name in ("darts_v1:", "pnasnet5:"):
        source = diff_cells(*map(load_architecture, (name, "darts_v2:"))).source
        assert re.findall(r'label="(normal|reduction/2)\\l"', source) == ["normal", "reduction/2"]
        assert "network" not in source


def test_no_difference_is_all_grey() -> None:
    source = diff_cells(small(), small()).source
    assert "#d55e00" not in source
    assert "#0072b2" not in source


def test_a_cell_that_only_one_has() -> None:
    with pytest.raises(ConfigError, match="no cell `reduction`"):
        diff_cells(first_two("darts")[0], first_two("nasbench201")[0])


def test_long_spaces_leave_levels_out() -> None:
    source = draw_space(load_space("macro(layers=100)")).source
    assert "levels 4 to 99" in source
    assert f"h100 = conv_1x1(concat({A}(h99), {B}))" in source
    assert "level 100" in source
    assert "level 50" not in source


def test_what_nobody_could_read_is_refused() -> None:
    architecture = sample(load_space("macro(layers=100)"), 1, np.random.default_rng(0))[0]
    with pytest.raises(LimitError) as caught:
        draw_cell(architecture)
    assert caught.value.diagnostics[0].code == "E803"


def test_a_wide_space_is_refused_too() -> None:
    text = """
    space wide()
    network (image) {
        h[0] = conv_3x3(image, 8)
        for i in 1..100 { h[i] = conv_1x1(concat(h[i-1], any of [h[0..i-1]])) }
        return linear(global_avg_pool(last(h)), 10)
    }
    """
    with pytest.raises(LimitError):
        draw_space(read_space(text))


def test_billions_of_alternatives_are_not_written_out() -> None:
    choices = "\n".join(f"k{i} := k{i + 1} + k{i + 1}" for i in range(12))
    text = f"""
    space wide()
    {choices}
    k12 := 1 | 3
    network (image) {{
        x = conv(image, k0, 8)
        return linear(global_avg_pool(x), 10)
    }}
    """
    start = time.process_time()
    assert len(draw_space(read_space(text)).source) < 10_000
    assert time.process_time() - start < 20  # a tenth of a second; minutes if they are


def test_choices_that_lie_deep_in_each_other_are_drawn() -> None:
    choices = "\n".join(f"a{i + 1} := relu(a{i}) | swish(a{i})" for i in range(24))
    space = read_space(f"""
    space deep()
    network (image) {{
        x = conv_3x3(image, 8)
        a0 := x | relu6(x)
        {choices}
        return linear(global_avg_pool(a24), 10)
    }}
    """)
    assert len(draw_space(space).source) < 10_000


# --- rendering ---------------------------------------------------------------------------------

MAGIC = {
    ".svg": b"<svg",
    ".png": b"\x89PNG",
    ".pdf": b"%PDF",
    ".dot": b"digraph",
    ".html": b"<!doc",
}


@pytest.fixture
def no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.mark.parametrize("suffix", sorted(rendering.SUFFIXES))
def test_every_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cell{suffix}"
    assert render(draw_cell(small()), path) == path
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_svg_stands_alone_and_in_a_page() -> None:
    one, two = (to_svg(draw_cell(small(name))) for name in ("max_pool_3x3", "avg_pool_3x3"))
    root = ElementTree.fromstring(one)
    assert root.attrib["role"] == "img"
    assert root[0].tag.endswith("title")
    assert root[0].text == f"micro {small().id}"
    texts = [e.text for e in root.iter() if e.tag.endswith("}text")]
    assert {"dw_conv", "h1", "h2", "+", "prev1", "output"} <= set(texts)
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_texts_are_as_wide_as_their_room_in_every_font() -> None:
    """The font of this machine may be any; one as wide as Helvetica is preferred."""
    root = ElementTree.fromstring(to_svg(draw_space(load_space("smash"))))
    texts = [e for e in root.iter() if e.tag.endswith("}text")]
    assert "bank0 = x" in [e.text for e in texts]
    for e in texts:
        wide = width_of(e.text or "", float(e.attrib["font-size"]))
        assert float(e.attrib["textLength"]) == pytest.approx(wide, abs=0.01)
        assert e.attrib["lengthAdjust"] == "spacingAndGlyphs"
        assert "Arial,Liberation Sans,DejaVu Sans Condensed," in e.attrib["font-family"]
    assert width_of("conv_3x3 \u00d7 2", 1000) == 5976  # by Adobe's metrics


@pytest.mark.parametrize("font", ["Helvetica", "DejaVu Sans"])
def test_headings_begin_at_the_edge_in_every_font(font: str) -> None:
    source = draw_space(load_space("macro(layers=24)")).source.replace(FONT, font)
    root = ElementTree.fromstring(to_svg(source))
    starts = [
        float(e.attrib["x"]) for e in root.iter()
        if e.attrib.get("font-size") == "11.00" and e.attrib["text-anchor"] == "start"
    ]  # fmt: skip
    assert len(starts) == 3
    assert min(starts) >= 0


@pytest.mark.parametrize("name", ["smash", "ofa", "macro(layers=24)", "darts", "nasbench101"])
def test_a_statement_ends_before_its_number_of_options(name: str) -> None:
    look = rf'label="([^"]* = [^"]*|[^"]* options)\\(\w)" .*{SPOT} .* width=([\d.e+]+)\]'
    ends: dict[str, list[float]] = {}
    for text, side, x, y, wide in re.findall(look, draw_space(load_space(name)).source):
        if side == "l":
            left = float(x) - 36 * float(wide)
            ends.setdefault(y, []).append(left + WIDER * width_of(text))
        else:
            right = float(x) + 36 * float(wide)
            assert right - WIDER * width_of(text, 9) > ends[y].pop()
    assert ends


def test_marks_are_no_names_of_values() -> None:
    space = read_space("""
    space marks()
    op := conv_3x3 | conv_5x5
    network (image) {
        a = op(image)
        b = op(a) + op(image)
        return linear(global_avg_pool(b), 10)
    }
    """)
    assert f'label="b = {A}(a) + {B}(image)' in draw_space(space).source


def test_edges_of_zeros_lie_below_the_others() -> None:
    one = load_architecture("nasbench201: h1 = avg_pool_3x3(h0); h2 = none(h0) + nor_conv_1x1(h1)")
    source = draw_cell(one).source
    assert source.index("label=none") < source.index('label="nor_conv')
    one = load_architecture("nasbench201: h1 = avg_pool_3x3(h0); h2 = nor_conv_1x1(h0) + none(h1)")
    source = draw_cell(one).source
    assert source.index("label=none") < source.index('label="nor_conv')


def test_lines_that_cross_are_whole() -> None:
    """Dashes, and dots of what is not read, would cut those that cross them."""
    one = sample(load_space("macro(layers=24)"), 1, np.random.default_rng(7))[0]
    assert "dashed" not in draw_network(one).source
    dots = re.findall(r'fillcolor="(#\w+)" .*shape=point', draw_space(one.space, path=one).source)
    assert set(dots) == {"#1a1a1a"}


def test_names_are_only_text() -> None:
    from epnas_dsl.space.drawing.canvas import canvas, operation_lines
    from epnas_dsl.space.drawing.column import Column
    from epnas_dsl.space.drawing.rows import Rows, item_of

    bad = '<b>&"x\\l\\N|{}</b><script>alert(1)</script>\x1b[31m'
    dot = canvas(bad, about=bad)
    column = Column(dot)
    column.title(bad)
    blocks = {
        bad: {bad: item_of("input", [bad], "", {})},
        "a:b": {"a:b": item_of("odd", operation_lines(bad), "cell", {bad: {}})},
    }
    Rows(column, blocks).draw()
    svg = to_svg(dot)
    root = ElementTree.fromstring(svg)
    assert not [e for e in root.iter() if e.tag.endswith(("}script", "}b"))]
    assert "<script" not in svg
    assert '<b>&"x\\l\\N|{}</b>' in "".join(root.itertext())


def test_without_a_renderer_there_is_text(
    tmp_path: Path, no_renderer: None, caplog: pytest.LogCaptureFixture
) -> None:
    svg = render(draw_cell(small()), tmp_path / "cell.svg")
    assert "dw_conv" in "".join(ElementTree.fromstring(svg.read_text()).itertext())
    page = render(draw_cell(small()), tmp_path / "cell.png")
    assert page == tmp_path / "cell.html"
    assert "dw_conv" in page.read_text()
    assert "nothing here renders .png" in caplog.text


def test_the_program_dot_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\ncat > /dev/null\necho '<svg><g class=\"graph\"></g></svg>'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert to_svg("digraph {}") == '<svg role="img">\n<desc></desc><g class="graph"></g></svg>\n'
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "xmlns" in to_svg('digraph { a [label="a"] }')


def test_nothing_is_said_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    to_svg(draw_cell(small()))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("cell.jpg", "E801", ".svg .png .pdf .dot .html"),
        ("cell", "E801", "no suffix"),
        ("no/such/cell.svg", "E802", "make the folder"),
        ("folder.svg", "E802", "is a folder"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, code: str, words: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        render("digraph {}", tmp_path / name)
    assert caught.value.diagnostics[0].code == code
    assert [p.name for p in tmp_path.iterdir()] == ["folder.svg"]


def test_a_failed_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.dot"
    path.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        render("digraph {}", path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_picture_keeps_the_mode_of_the_file_and_the_link_to_it(tmp_path: Path) -> None:
    path, link = tmp_path / "cell.dot", tmp_path / "link.dot"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    render("digraph {}", link)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("digraph {}", 0o640)
    assert link.is_symlink()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may chown")
def test_a_picture_keeps_the_owner_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cell.dot"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    path.chmod(0o4750)
    render("digraph {}", path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12345, 23456, 0o4750)
    assert path.read_text() == "digraph {}"


def test_a_picture_keeps_what_may_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    path = tmp_path / "cell.dot"
    path.write_text("old")
    path.chmod(0o640)
    monkeypatch.setattr(os, "chown", refused)
    render("digraph {}", path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("digraph {}", 0o640)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.dot", tmp_path / "two.dot"
    one.symlink_to(two)
    two.symlink_to(one)
    with pytest.raises(ConfigError, match=r"one\.dot` cannot be written: Too many") as caught:
        render("digraph {}", one)
    assert caught.value.diagnostics[0].code == "E802"
    assert sorted(tmp_path.iterdir()) == [one, two]
    assert one.is_symlink()
    new = tmp_path / "new.dot"  # a link to what is not there yet makes it
    link = tmp_path / "link.dot"
    link.symlink_to(new)
    render("digraph {}", link)
    assert link.is_symlink()
    assert new.read_text() == "digraph {}"


def test_a_notebook_gets_a_picture_or_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mimebundle(small())["image/svg+xml"].startswith("<svg")

    for shown in (small(), small().space):
        assert shown._repr_mimebundle_(include=None)["image/svg+xml"].startswith("<svg")

    def broken(shown: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(rendering, "draw_cell", broken)
    monkeypatch.setattr(rendering, "draw_space", broken)
    for shown in (small(), small().space):
        assert mimebundle(shown) == {"text/plain": repr(shown)}


def test_functions_are_opened_once() -> None:
    source = draw_space(load_space("ofa")).source
    assert len(re.findall(r'label="stage\(x, width=\d+, stride=\d, depth=4\)', source)) == 1
    smash = draw_space(load_space("smash")).source
    assert re.findall(r'label="(block|operation)\((?:x|banks)[,)]', smash) == ["block", "operation"]


def chosen(source: str) -> list[str]:
    """The alternatives that stand out."""
    chips = re.findall(r'\[label=("[^"]*"|\S+) .*penwidth=2.2', source)
    return [c for c in chips if " = " not in c and c not in {"prev1", "prev2", "prev", "image"}]


@pytest.mark.parametrize("name", ["micro", "pnas", "darts", "nasbench201", "macro", "enas_micro"])
def test_the_path_is_the_architecture(name: str) -> None:
    space = load_space(name)
    alternatives = set(map(str, re.findall(r"\w+", space.source.split(":=")[1].split("\n\n")[0])))
    for one in sample(space, 5, np.random.default_rng(3)):
        body = None if name in {"macro", "nasbench201"} else "normal"
        listing = body_nodes(one, body or drawn_bodies(space, None)[0])
        source = draw_space(space, body, path=one).source
        decided = [n for n in listing if n.operation in alternatives]
        if name == "macro":
            decided = [n for n in decided if n.name != "h0"]
        assert sorted(chosen(source)) == sorted(n.text for n in decided)
        if name in {"micro", "pnas"}:
            joined = sum(len(n.inputs) for n in listing if n.operation == "concat")
            dots = re.findall(r'color="#1a1a1a" .*fillcolor="#1a1a1a"', source)
            assert len(dots) == len(decided) + max(1, joined)


def test_long_alternatives_are_drawn_choice_by_choice() -> None:
    alpha = MARKS[0]
    space = load_space("nasnet")
    source = draw_space(space).source
    assert source.count(f'label="{alpha} + {alpha}"') == 10
    assert source.count(f'label="nor_conv_1x1(concat({alpha}, {alpha}))"') == 10
    assert "\N{HORIZONTAL ELLIPSIS}" not in source
    path = draw_space(space, None, sample(space, 1, np.random.default_rng(1))[0]).source
    assert "\N{HORIZONTAL ELLIPSIS}(input0|input1)" in path
    assert '\N{HORIZONTAL ELLIPSIS}"' not in path
    nested = (
        "op := conv(kernel=1|3|5|7, dilation=1|2|3|4|5|6, groups=1|2|4|8)\np0 := op(x) | relu(x)\n"
    )
    nested += "".join(
        f"p{i} := op(p{i - 1}) + op(p{i - 1}) | relu(op(p{i - 1}))\n" for i in range(1, 9)
    )
    text = f"space deep\nnetwork (image) {{ x = conv_3x3(image, 8)\n{nested}y = p8 | x\n"
    source = draw_space(read_space(text + "return linear(global_avg_pool(y), 10) }")).source
    assert source.count("label=") < 100


def test_a_chosen_function_is_named_and_drawn_beside() -> None:
    text = """
    space chosen()
    def block(x) { y = relu(x) | swish(x); return conv_3x3(y) | conv_5x5(y) }
    network (image) {
        x = conv_3x3(image, 8)
        x = block(x) | relu(block(block(x)))
        return linear(global_avg_pool(x), 10)
    }
    """
    space = read_space(text)
    for a in sample(space, 20, np.random.default_rng(0)):
        source = draw_space(space, None, a).source
        labels = re.findall(r'label="([^"]*)"', source)
        assert not any("{" in label for label in labels)
        assert {"block·1(x)", "relu(block·1(block·1(x)))", "relu(block·1(block·2(x)))"} & {*labels}


def test_nothing_of_an_architecture_is_left_out() -> None:
    for name in ("smash", "spos", "spos_channels", "ofa"):
        one = sample(load_space(name), 1, np.random.default_rng(3))[0]
        assert "more" not in draw_cell(one).source
    assert "\N{HORIZONTAL ELLIPSIS}" not in draw_space(load_space("budgeted_resnet")).source
    assert "about 6.4 × 10^64" in draw_space(load_space("smash")).source


def test_what_a_path_leaves_is_faded() -> None:
    one = first_two("micro")[0]
    space = one.space
    assert FADED in draw_space(space, path=one).source
    assert FADED not in draw_space(space).source
    lower = draw_space(space, path=one.at(2)).source
    assert len(chosen(lower)) == 4
    assert lower.count('label="skip_connect"') + lower.count("label=skip_connect") >= 7


def test_every_space_and_a_path_through_it_is_drawn() -> None:
    for path in sorted(TESTS.parent.glob("spaces/*.space")):
        space = load_space(path.stem)
        one = sample(space, 1, np.random.default_rng(5))[0]
        for dot in (draw_space(space), draw_space(space, path=one), draw_cell(one)):
            assert not set(re.findall(r'"(#[0-9a-f]{6})"', dot.source)) - DARK.keys()


def test_long_spaces_fold_into_columns() -> None:
    """About as wide as high; each value keeps its name in the next column."""
    one = sample(load_space("macro(layers=24)"), 1, np.random.default_rng(7))[0]
    source = draw_space(one.space, path=one).source
    places = [tuple(map(float, p)) for p in re.findall(r'pos="([-\d.e+]+),([-\d.e+]+)"', source)]
    width, height = (max(x) - min(x) for x in zip(*places, strict=True))
    assert 0.7 < width / height < 1.4
    assert source.count('label="h7\\r"') == 2
    columns = {float(x) for x in re.findall(r'label="h\d+ = .*?pos="([\d.e+]+),', source)}
    assert max(columns) - min(columns) > height / 2
    frames = re.findall(r'pos="([\d.e+]+),[^"]*" shape=box style="dashed,rounded"', source)
    assert sorted(Counter(frames).values()) == [8, 8, 8]


def test_what_alternatives_read_is_plain() -> None:
    space = read_space("""
    space plain()
    op := conv_3x3 | sep_conv_3x3
    network (image) {
        x = global_avg_pool(op(conv_3x3(image, 8)) | conv_5x5(image, 8))
        x = x | relu(linear(x, 32|64))
        return linear(x, 10)
    }
    """)
    one = load_architecture("plain: x = global_avg_pool(conv_5x5(image, channels=8)); x = x", space)
    shown, path = draw_space(space).source, draw_space(space, path=one).source
    assert "(conv_3x3|sep_conv_3x3)(conv_3x3(image, channels=8))" in shown
    for source, width in ((shown, "1"), (path, "2.2")):
        (line,) = re.findall(r"label=x .*", source)
        assert f"penwidth={width}" in line


def test_the_last_block_is_read_for_certain() -> None:
    """By what joins all that is unused; the others may have been read before."""
    filled = 'fillcolor="#595959"'
    for blocks in (2, 3, 5):
        assert draw_space(load_space(f"micro(blocks={blocks})")).source.count(filled) == 1


def test_equal_statements_are_one_with_their_number() -> None:
    source = draw_space(load_space("resnet_cifar")).source
    assert source.count("x = block(x, width=16)  × 17") == 1
    assert source.count('"x = block(') == 6
    network = draw_network(Architecture(load_space("densenet_cifar(layers=40)"), ())).source
    assert network.count("dense  × 6") == 3
    assert network.count("transition(width=") == 2


def test_a_lane_for_what_skips_a_stage() -> None:
    from epnas_dsl.space.drawing.canvas import canvas
    from epnas_dsl.space.drawing.column import FIXED, SKIP, Column

    dot = canvas("lanes")
    column = Column(dot)
    reads: list[dict[str, str]] = [{}, {}, {"0": SKIP}, {"0": SKIP, "1": FIXED}, {"3": SKIP}]
    reads += [{"3": SKIP}, {}, {}, {"6": SKIP}]  # the lane of 6 is free again, that of 3 was not
    for i, read in enumerate(reads):
        column.wire(10, -20 * i + 3, read)
        column.heads[str(i)] = 10, -20 * i - 3
    column.finish()
    dots = re.findall(r'fillcolor.* pos="([\d.]+),(-?\d+)"', dot.source)
    assert sorted(dots) == [
        ("14", "-157"), ("14", "-37"), ("14", "-57"), ("23", "-57"), ("32", "-77"), ("32", "-97"),
    ]  # fmt: skip
    assert dot.source.count("dir=back") == 5


def test_skips_of_the_macro_space_are_those_of_the_text() -> None:
    one = load_architecture(
        "macro(layers=3): h1 = conv_1x1(concat(conv_3x3(h0))); h2 = conv_1x1(concat(conv_5x5(h1)));"
        " h3 = conv_1x1(concat(conv_3x3(h2), h1))"
    )
    for dot in (draw_cell(one), draw_network(one)):
        assert dot.source.count('fillcolor="#595959"') == 1
        assert dot.source.count("-> ") == 8
    changed = diff_cells(one, load_architecture(one.text.replace(", h1))", "))"))).source
    assert "the same in both" not in changed  # h1 is read differently, so it is not hidden
    assert "becomes conv" not in changed
    assert changed.count("#d55e00") == 4  # two pieces of lane, a dot, a wire


def test_layers_that_are_the_same_in_both_are_one() -> None:
    """Also where they do not read each other; what only one reads stands alone."""
    for name in ("macro(layers=24)", "enas_macro", "nas"):
        one = sample(load_space(name), 1, np.random.default_rng(7))[0]
        assert diff_cells(one, one).source.count("label=") < 8
        assert "output: the same in both" in diff_cells(one, one).source
        two = next(iter(neighbours(one)))
        assert diff_cells(one, two).source.count("\\nbecomes") == 1
    ours, theirs = sample(load_space("conv_fabric"), 2, np.random.default_rng(7))
    names = [{n.name.split(".")[0] for n in body_nodes(a, "network")} for a in (ours, theirs)]
    source = diff_cells(ours, theirs).source
    shown = re.findall(r'label="(h\d+) (?!to)', source)
    assert names[0] ^ names[1] <= set(shown)
    assert shown == [s for s in shown if s in names[0] | names[1]]


def test_a_long_statement_tells_what_differs() -> None:
    """Whatever stands behind the first operations of it."""
    one = sample(load_space("smash"), 1, np.random.default_rng(7))[0]
    for two in islice(neighbours(one), 40):
        source = diff_cells(one, two).source
        assert one.text == two.text or "becomes" in source
        assert "more" not in source


def test_functions_of_one_name_may_differ() -> None:
    """The stages of ResNet-34 and 50 are written alike."""
    ours, theirs = (Architecture(load_space(f"resnet(layers={n})"), ()) for n in (34, 50))
    source = diff_cells(ours, theirs).source
    assert source.count("\\nbecomes conv_1x1(channels=") == 4
    text = """
    space wired()
    network (image) {
        y = conv_3x3(image, 8)
        x = conv_3x3(y) + conv_3x3(y) | conv_3x3(conv_3x3(y))
        return linear(global_avg_pool(x), 10)
    }
    """
    one, two = (Architecture(read_space(text), [n]) for n in (0, 1))
    assert "\\nbecomes the same, joined otherwise" in diff_cells(one, two).source
    assert "becomes the" not in diff_cells(one, one).source


def test_networks_tell_numbers_instead_of_formulas() -> None:
    for name, image in (("smash", (3, 32, 32)), ("spos_channels", (3, 64, 64))):
        one = sample(load_space(name), 1, np.random.default_rng(7))[0]
        labels = re.findall(r'label="([^"]*)"', draw_network(one, image).source)
        assert any("channels=" in text for text in labels)
        assert not [text for text in labels if re.search(r"[*/]", text)]


def test_every_colour_has_a_dark_one() -> None:
    from epnas_dsl.space.drawing.canvas import FAMILIES, darkened

    assert len(set(DARK.values())) == len(DARK)
    assert {c for pair in FAMILIES.values() for c in pair} <= DARK.keys()
    one, two = first_two("micro")
    for dot in (draw_cell(one), draw_network(one), diff_cells(one, two),
                draw_space(one.space, path=one)):  # fmt: skip
        light = set(re.findall(r'"(#[0-9a-f]{6})"', dot.source))
        assert light <= DARK.keys()
        assert not light & set(re.findall(r'"(#[0-9a-f]{6})"', darkened(dot.source)))
    assert darkened('a [label="see #1a1a1a" color="#1a1a1a"]').count("#1a1a1a") == 1


def test_text_can_be_read_on_its_ground() -> None:
    """WCAG 2.1, 1.4.3: 4.5 to 1 at least, in both themes."""
    from epnas_dsl.space.drawing.canvas import FAMILIES, GREY, INK, PAPER

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    grounds = [(PAPER if kind == "input" else INK, fill) for kind, (fill, _) in FAMILIES.items()]
    for ink, ground in [*grounds, (GREY, PAPER), (INK, PAPER)]:
        for a, b in ((ink, ground), (DARK[ink], DARK[ground])):
            low, high = sorted((light(a), light(b)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (a, b)


def test_drawing_loads_its_libraries_late() -> None:
    heavy = {"graphviz", "pygraphviz", "torch", "lark"}
    code = f"import sys, epnas_dsl.space.drawing; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


FUNCTIONS = """
space functions()
op := conv_3x3 | conv_5x5
def narrow(x) { y = op(x); return conv_1x1(y, 8) + x }
def wide(x, n) { h[0] = x; for i in 1..n { h[i] = conv_3x3(h[i-1]) } return concat(h[1..n]) }
def twice(x) { return conv_3x3(conv_3x3(x)) }
network (image) {
    x = twice(conv_3x3(image, 8))
    y = narrow(x) | conv_1x1(wide(x, 3), 8) | relu(x)
    z = sum(op(s) for s in some of [x, conv_1x1(y)])
    v = concat(z, any of [x, narrow(y)])
    return linear(global_avg_pool(v), 10)
}
"""


def test_functions_that_are_alternatives_are_opened() -> None:
    """Also without choices; those that are no alternatives and have none stay closed."""
    space = read_space(FUNCTIONS)
    source = draw_space(space).source
    titles = [r"wide\(x, n=3\)", r"narrow\(x\)", r"twice\(x\)"]
    assert [len(re.findall(rf'label="{t}\\l"', source)) for t in titles] == [1, 1, 0]
    assert 'label="h3 = conv_3x3(h2)"' in source
    text = "functions: y = conv_1x1(wide(x, n=3), channels=8); z = conv_3x3(x); v = concat(z, {})"
    one = load_architecture(text.format("narrow(y) { y = conv_5x5(x) }"), space)
    path = draw_space(space, path=one).source
    assert "conv_1x1(wide·1(x, n=3), channels=8)" in path
    assert "narrow·1(y)" in path
    assert len(re.findall(r'label="(?:wide·1\(x, n=3\)|narrow·1\(x\))\\l"', path)) == 2


def test_what_a_comprehension_chooses_among_has_boxes() -> None:
    space = read_space(FUNCTIONS)
    source = draw_space(space).source
    assert source.count('label="conv_1x1(y)"') == 1
    assert f"z = sum({B}({A}))" in source
    text = "functions: y = relu(x); z = conv_3x3(x) + conv_5x5(conv_1x1(y)); v = concat(z)"
    path = draw_space(space, path=load_architecture(text, space)).source
    assert f"z = sum({B}(x), {C}(conv_1x1(y)))" in path
    assert re.search(r'label="conv_1x1\(y\)" .*penwidth=2.2', path)


def test_smash_is_drawn_with_its_memory_banks() -> None:
    source = draw_space(load_space("smash")).source
    assert f"bank2 = operation(concat({A}), channels={B})" in source
    assert "conv(kernel=3|5|7, dilation=1|2|3)(x) +\\nconv(kernel=3|5|7, dilation" in source


def test_cells_in_cells_are_one_stage_with_what_they_stand_in() -> None:
    space = read_space("""
    space nested()
    cell inner, narrow/2 (a) { return conv_3x3(a) | conv_5x5(a) }
    cell outer (p) { return conv_3x3(inner(p)) + p }
    cell down/2 (p) { return concat(inner(narrow(p)), conv_3x3(p)) }
    network (image) {
        x = stack(conv_3x3(image, 8), [outer*2, down])
        return linear(global_avg_pool(x), 10)
    }
    """)
    one = Architecture(space, (0,))
    column = [line for line in draw_network(one).source.splitlines() if "\tstage" in line]
    boxes = re.findall(r'label="?(outer  × 2|\w+)"? ', "\n".join(column))
    assert [b for b in boxes if b in {"inner", "narrow", "down", "outer  × 2"}] == [
        "outer  × 2", "down",
    ]  # fmt: skip
    orange = FAMILIES["reduction"][1]
    assert f'[label=narrow color="{orange}"' in draw_cell(one, "down").source
