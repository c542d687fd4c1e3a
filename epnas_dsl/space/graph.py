"""Turn an architecture into frozen networkx graphs: of one body, or of the whole network.

`to_graph` draws one body as it was written: no channels, cells called from the network are single
nodes. `to_network` puts every cell in its place, infers channels and scales, inserts the 1x1
convolutions where a cell's input does not match, and drops dead code. Both hold one attribute a
node, `node`, and were filled in topological order, so that order is the one for all.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace

from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.builder import NOMINAL_WIDTH, Builder, Ref, Scope
from epnas_dsl.space.nodes import Graph, Image, Node, nodes
from epnas_dsl.space.operations import OPERATIONS, Layer, reading
from epnas_dsl.space.search_space import Body
from epnas_dsl.space.terms import Statement, Tree, disassemble


def to_graph(architecture: Architecture, body: str | None = None) -> Graph:
    """The graph of one body.

    Its attribute `choices` holds the numbers chosen in that body, level by level: what stands in
    dead code, or leaves no node behind, would be lost without them.

    Args:
        body: a cell's name or `network`; by default the first body that has decisions.

    Raises:
        KeyError: the space has no such body.
    """
    space = architecture.space
    decided = next((b for b, _ in space.statements), space.bodies[0])
    found = {name: b for b in space.bodies for name in b.names}[body] if body else decided
    builder = Builder(architecture, None)
    chosen = [
        (s, builder.trees[s]) for b, s in space.statements if b is found and s in builder.trees
    ]
    choices = tuple(n for s, tree in chosen for n in disassemble(s.term, tree))
    return builder.graph(builder.body(found), choices=choices)


def to_network(architecture: Architecture, image: Image = (3, 32, 32)) -> Graph:
    """The graph of the whole network, cells in their places, for images (channels, height, width).

    Raises:
        ShapeError: values that are joined do not match, or an argument is out of range.
        LimitError: the network has more than 20,000 nodes and cells.
    """
    builder = Builder(architecture, image)
    return builder.graph(builder.network())


def body_nodes(architecture: Architecture, body: str, dead: bool = False) -> list[Node]:
    """The nodes of `to_graph`, without the graph around them; the last one is the result.

    Args:
        dead: those that nothing reads, too; the result stands there twice where such read it.
    """
    found = next(b for b in architecture.space.bodies if body in b.names)
    builder = Builder(architecture, None)
    result = builder.body(found)
    if not dead:
        return builder.alive(result)
    made = list(builder.nodes.values())
    last = builder.nodes[result.node]
    return made if made[-1] is last else [*made, last]


def statement_names(body: Body, level: int) -> dict[str, Statement]:
    """The statements up to a level by the names of their nodes: `x`, `x_2`; the result last."""
    taken = dict.fromkeys(body.inputs, 1)
    found: dict[str, Statement] = {}
    for s in (s for s in (*body.statements, body.result) if s.level <= level):
        label = name = "output" if s is body.result else s.label
        count = taken.get(label, 1)
        while name in taken:
            count += 1
            name = f"{label}_{count}"
        taken[label] = count
        taken.setdefault(name, 1)
        found[name] = s
    return found


def reads(architecture: Architecture, body: str) -> dict[str, set[str]]:
    """Who reads whom in one body: for each named value that counts, the values that it reads.

    The inputs are among them, and so is what the body returns.
    """
    builder = Builder(architecture, None)
    result = builder.body(next(b for b in architecture.space.bodies if body in b.names))
    found: dict[str, set[str]] = {}
    for node in builder.alive(result):
        name = _statement(node.name)
        found.setdefault(name, set()).update({_statement(i) for i in node.inputs} - {name})
    found.setdefault(builder.output, {_statement(result.node)})
    return found


def _statement(name: str) -> str:
    return name.partition(".")[0]


Carrier = Callable[[Statement, Tree, Iterable[str], Container[str]], tuple[list[Node], set[str]]]


def carrier(
    architecture: Architecture, body: Body, place: Statement, values: Mapping[str, str]
) -> Carrier:
    """What carries statements out at a place of a body, on given values, again and again.

    Args:
        architecture: gives the level, and the numbers that are named before the place.
        place: the statement of the body that stands there.
        values: what to call the values before it, by label.

    Returns:
        A function of a statement, its choice tree, the labels that `unused` shall take for read,
        and those that are inputs of the cell or made of nothing else. It gives the nodes, the
        value's last, and the labels that are read then.
    """
    builder = Builder(architecture, None)
    every = [s for s in (*body.statements, body.result) if s.level <= architecture.level]
    before = every[: every.index(place)]
    outer = Scope("", numbers={"channels": NOMINAL_WIDTH})
    numbers = [s for s in before if s.term.kind == "number"]
    builder.statements(numbers, [builder.trees.get(s, ()) for s in numbers], outer)
    for s in before:
        if s.array:
            outer.arrays.setdefault(s.array, []).append(s.label)

    def carry(
        statement: Statement, tree: Tree, read: Iterable[str], entries: Container[str]
    ) -> tuple[list[Node], set[str]]:
        builder.nodes, builder.taken = {}, {}
        arrays = {name: list(labels) for name, labels in outer.arrays.items()}
        scope = replace(outer, values={}, arrays=arrays, read=set(read), cell=body.name)
        scope.stride = max(body.names.values())
        for label, name in values.items():
            entry = label in entries
            if name not in builder.nodes:
                builder.add(Node(name, "input", output=name, entry=entry))
            scope.values[label] = Ref(name, label, entry=entry)
        builder.statements([statement], [tree], scope)
        return builder.alive(scope.values[statement.label]), scope.read

    return carry


def carry_out(
    architecture: Architecture, body: Body, statement: Statement, trees: Iterable[Tree],
    values: Mapping[str, str], read: Iterable[str] = (),
) -> Iterator[tuple[list[Node], set[str]]]:  # fmt: skip
    """The nodes of one statement on given values, and the labels read, for each choice tree."""
    carry = carrier(architecture, body, statement, values)
    return (carry(statement, tree, read, body.inputs) for tree in trees)


def network_layers(
    architecture: Architecture, image: Image, drop_path: bool = False
) -> tuple[Layer, ...]:
    """`to_layers(to_network(architecture, image), drop_path)`, without the graph in between."""
    builder = Builder(architecture, image)
    return to_layers(builder.alive(builder.network()), drop_path)


def to_layers(network: Graph | list[Node], drop_path: bool = False) -> tuple[Layer, ...]:
    """The layers of a network in a straight line; the last one is the output.

    Args:
        drop_path: drop the output of an operation in a cell at random while the network trains
            (identities are kept: Larsson et al. 2017, section 3.1, as used by NASNet).
    """
    found = network if isinstance(network, list) else nodes(network)
    if not drop_path:
        return tuple([layer for node in found for layer in node.layers])
    layers: list[Layer] = []
    renamed: dict[str, str] = {}
    for node in found:
        layers += reading(node.layers, renamed)
        dropped = node.operation in OPERATIONS and node.operation != "channel_slice"
        if node.instance and node.layers and dropped:
            name = f"{node.name}.drop_path"
            source = renamed.get(node.output, node.output)
            layers.append(Layer(name, "drop_path", (source,), node.channels, (("p", 0.0),)))
            renamed[node.output] = name
    return tuple(layers)
