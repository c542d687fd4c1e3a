"""What `require` may speak of: the measures of an architecture, and whether it meets them."""

from __future__ import annotations

from epnas_dsl.errors import ArchitectureError, ShapeError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate
from epnas_dsl.space.graph import network_layers, reads
from epnas_dsl.space.nodes import Image
from epnas_dsl.space.shapes import costs
from epnas_dsl.space.terms import Number

IMAGE: Image = (3, 32, 32)
COSTS = frozenset({"params", "macs", "depth"})  # of the network; other measures are soon known


def measures(architecture: Architecture, image: Image = IMAGE) -> dict[str, Number]:
    """Edges and nodes of the decided bodies, costs of the network.

    A node is a named value that counts, an input or what the body returns; an edge says that one
    of them reads another, however often.

    Args:
        image: channels, height, width; `params`, `macs` and `depth` are those for such images.
    """
    found: dict[str, Number] = graph_measures(architecture)
    spent = costs(network_layers(architecture, image), image)
    return {**found, "params": spent.params, "macs": spent.macs, "depth": spent.depth}


def graph_measures(architecture: Architecture) -> dict[str, Number]:
    """Those that need no shapes."""
    bodies = [reads(architecture, body.name) for body in architecture.space.decided]
    return {
        "edges": sum(len(read) for body in bodies for read in body.values()),
        "nodes": sum(map(len, bodies)),
        "levels": architecture.level,
    }


def satisfies(architecture: Architecture) -> bool:
    """Whether an architecture meets every requirement of its space.

    One whose values do not fit together has no network, so it meets no requirement on its costs.
    """
    requirements = architecture.space.requirements
    if not requirements:
        return True
    small = graph_measures(architecture)
    quick = [r for r in requirements if r.measures <= small.keys()]
    if not all(evaluate(r.condition, (), small) for r in quick):
        return False
    if len(quick) == len(requirements):
        return True
    try:
        full = measures(architecture)
    except ShapeError:
        return False
    return all(evaluate(r.condition, (), full) for r in requirements)


def check_requirements(architecture: Architecture) -> None:
    """Refuse an architecture that misses a requirement of its space: it is none of them.

    Raises:
        ArchitectureError: it misses one (E316).
        ShapeError: its values do not fit together, so that nothing can be measured.
    """
    requirements = architecture.space.requirements
    costly = any(r.measures & COSTS for r in requirements)
    found = measures(architecture) if costly else graph_measures(architecture)
    for requirement in requirements:
        if not evaluate(requirement.condition, (), found):
            values = [f"{name} = {found[name]:,}" for name in sorted(requirement.measures)]
            raise ArchitectureError(
                f"not an architecture of {architecture.space.name}: {' and '.join(values)}",
                code="E316", span=requirement.span,
                hint=f"the space requires `{requirement.text}`",
            )  # fmt: skip
