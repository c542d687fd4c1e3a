"""Turn architectures, networks and spaces into pictures.

draw_cell, diff_cells, draw_network, draw_space     meaning to DOT
render, to_svg, mimebundle                          DOT to files, pages and notebooks
"""

from __future__ import annotations

from epnas_dsl.space.drawing.cells import diff_cells, draw_cell
from epnas_dsl.space.drawing.networks import draw_network
from epnas_dsl.space.drawing.rendering import SUFFIXES, mimebundle, render, to_svg
from epnas_dsl.space.drawing.spaces import draw_space

__all__ = [
    "SUFFIXES",
    "diff_cells",
    "draw_cell",
    "draw_network",
    "draw_space",
    "mimebundle",
    "render",
    "to_svg",
]
