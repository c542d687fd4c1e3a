"""Carry the statements of an architecture out on names instead of tensors: nodes come of it."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from epnas_dsl.errors import EpnasError, LimitError, ShapeError, Span
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.arithmetic import evaluate, settle
from epnas_dsl.space.genotype import print_callee, print_number, print_term
from epnas_dsl.space.nodes import Call, Graph, Image, Node
from epnas_dsl.space.operations import (
    ENTRY,
    OPERATIONS,
    WIDTH,
    Kind,
    Layer,
    Setting,
    Settings,
    Trace,
    check_setting,
)
from epnas_dsl.space.search_space import Body, SearchSpace
from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Each,
    Formula,
    Function,
    Join,
    Last,
    Number,
    Operation,
    Stack,
    Statement,
    Subset,
    Term,
    Tree,
    Unused,
    Value,
)
from epnas_dsl.space.widths import shared, wanted

MAX_NODES = 20_000
NOMINAL_WIDTH = (
    5040  # of a cell on its own: divides well, so that channels/3 differs from channels/4
)


class Ref(NamedTuple):
    """A value at hand: its node and what to call it.

    Attributes:
        entry: it was made of nothing but inputs of the cell, before its stride.
        raw: it is an input of the cell as it came in.
    """

    node: str
    label: str
    entry: bool = False
    raw: bool = False


@dataclass(slots=True)
class Scope:
    """What names mean inside one body or function.

    Attributes:
        prefix: of the names of its nodes.
        place: of its weights: the statements and slots of the calls around it.
        block: the label of the statement at hand.
        turn: what tells that statement from others of its label, whatever the level: `h1`, `x.2`.
        width: of the cell, to which its inputs are brought; a function's `channels` may differ.
        terms: what its chosen numbers are, in terms of the cell's `channels`.
    """

    prefix: str
    place: str = ""
    block: str = ""
    turn: str = ""
    values: dict[str, Ref] = field(default_factory=dict)
    numbers: dict[str, Number] = field(default_factory=dict)
    terms: dict[str, Term] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    cell: str = ""
    instance: str = ""
    stride: int = 1
    scale: int = 1
    width: Number = 0
    calibrated: dict[str, Ref] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    statement: str = ""
    root: bool = True
    slot: int = 0
    wanted: dict[str, int] = field(default_factory=dict)  # channels that readers ask for, by node
    dead: set[str] = field(default_factory=set)  # statements without shapes: nothing reads them


class Builder:
    """Carries the statements of an architecture out, once, on names instead of tensors."""

    def __init__(self, architecture: Architecture, image: Image | None) -> None:
        self.space: SearchSpace = architecture.space
        self.level = architecture.level
        self.trees = self.space.trees(architecture.choices)
        self.image = image
        self.nodes: dict[str, Node] = {}
        self.readers: defaultdict[str, list[str]] = defaultdict(list)  # by it alone
        self.calls: dict[str, tuple[Call, ...]] = {}  # that a node stands in
        self.taken: dict[str, int] = {}  # names, with the last number that was put behind each
        self.instances = 0
        self.output = ""

    # --- graphs

    def body(self, body: Body) -> Ref:
        """The value that a body returns, carried out by itself, on inputs without shapes."""
        scope = Scope("", cell=body.name, stride=max(body.names.values()))
        scope.numbers["channels"] = NOMINAL_WIDTH
        for label in body.inputs:
            self.add(Node(label, "input", block=label, text=label, output=label, entry=True))
            scope.values[label] = Ref(label, label, entry=True)
        return self._body(body, scope)

    def network(self) -> Ref:
        """The value that the network returns, for the images."""
        assert self.image
        body = self.space.network
        scope = Scope("")
        for label in body.inputs:
            layer = Layer("image", "input", (), self.image[0])
            node = Node("image", "input", (), (), self.image[0], 1, text=label)
            self.add(replace(node, layers=(layer,), output="image"))
            scope.values[label] = Ref("image", label)
        result = self._body(body, scope)
        if self.nodes[result.node].scale:
            raise ShapeError(
                "a network returns a vector, one number for each class; this is an image",
                code="E412", span=body.result.span, hint="`return linear(global_avg_pool(x), 10)`",
            )  # fmt: skip
        return result

    def graph(self, result: Ref, **attributes: object) -> Graph:
        """The frozen graph of the nodes that a value depends on."""
        import networkx as nx  # half of the start-up of commands that need no graph

        graph: Graph = nx.DiGraph(None, **attributes)
        for node in self.alive(result):
            graph.add_node(node.name, node=replace(node, calls=self.calls[node.name]))
            graph.add_edges_from((i, node.name) for i in node.inputs)
        frozen: Graph = nx.freeze(graph)
        return frozen

    def alive(self, result: Ref) -> list[Node]:
        """The nodes that the result depends on, and the inputs, in order; the result last."""
        alive: set[str] = set()
        waiting = [result.node]
        while waiting:
            name = waiting.pop()
            if name not in alive:
                alive.add(name)
                waiting += self.nodes[name].inputs
        shown = [n for n in self.nodes.values() if n.name in alive or n.operation == "input"]
        shown.sort(key=lambda n: n.name == result.node)
        return shown

    def _count(self) -> None:
        """Refuse one more node, or one more cell, which may have none."""
        if len(self.nodes) + self.instances >= MAX_NODES:
            raise LimitError(f"the network has more than {MAX_NODES:,} nodes", code="E909")

    def add(self, node: Node, calls: tuple[Call, ...] = ()) -> str:
        """Take a node in, which stands in the calls; its name."""
        self._count()
        self.taken.setdefault(node.name, 1)
        self.nodes[node.name], self.calls[node.name] = node, calls
        if len(node.inputs) == 1:
            self.readers[node.inputs[0]].append(node.name)
        return node.name

    def _unused_name(self, name: str) -> str:
        found, count = name, self.taken.get(name, 1)
        while found in self.taken:
            count += 1
            found = f"{name}_{count}"
        self.taken[name] = count
        self.taken.setdefault(found, 1)
        return found

    # --- statements

    def _body(self, body: Body, scope: Scope) -> Ref:
        if self.image and any(s.term.shares for s in (*body.statements, body.result)):
            self._ask(body, scope)
        trees = [self.trees.get(s, ()) for s in body.statements]
        self.statements(body.statements, trees, scope)
        self._begin("output", 1, scope)
        self.output = scope.statement
        return self._one(body.result.term, self.trees.get(body.result, ()), scope)

    def _ask(self, body: Body, scope: Scope) -> None:
        """Carry a body out without shapes, to know what its values are asked for."""
        sketch = copy(self)
        sketch.image, sketch.nodes, sketch.calls = None, {}, {}
        sketch.taken = dict(self.taken)
        inner = replace(scope, values={}, numbers=dict(scope.numbers), arrays={}, read=set())
        inner.terms = dict(scope.terms)
        for label, ref in scope.values.items():
            name = sketch.add(Node(f"input {label}", "input"))
            inner.values[label] = ref._replace(node=name)
        alive = sketch.alive(sketch._body(body, inner))
        scope.wanted = wanted(alive)
        scope.dead = set(_paths(sketch.nodes)) - set(_paths(n.name for n in alive))

    def statements(
        self, statements: Sequence[Statement], trees: Sequence[Tree], scope: Scope
    ) -> None:
        """Carry statements out with the choices made in each."""
        turns: Counter[str] = Counter()
        for statement, tree in zip(statements, trees, strict=True):
            turns[statement.label] += 1
            if statement.level > self.level:
                continue
            if statement.term.kind == "number":
                number = evaluate(statement.term, tree, scope.numbers)
                scope.numbers[statement.label] = number
                scope.terms[statement.label] = settle(statement.term, tree, scope.terms)
                continue
            self._begin(statement.label, turns[statement.label], scope)
            image = self.image
            if scope.statement in scope.dead:
                self.image = None
            ref = self._one(statement.term, tree, scope)
            self.image = image
            scope.values[statement.label] = Ref(ref.node, statement.label, ref.entry, ref.raw)
            if statement.array:
                scope.arrays.setdefault(statement.array, []).append(statement.label)

    def _begin(self, label: str, turn: int, scope: Scope) -> None:
        scope.statement = self._unused_name(scope.prefix + label)
        scope.block, scope.root, scope.slot = label, True, 0
        scope.turn = label if turn == 1 else f"{label}.{turn}"

    # --- values

    def _one(self, term: Term, tree: Tree, scope: Scope) -> Ref:
        refs = self._refs(term, tree, scope)
        if len(refs) != 1:
            raise ShapeError(f"one value is needed here, not {len(refs)}", code="E403")
        return refs[0]

    def _refs(self, term: Term, tree: Tree, scope: Scope) -> list[Ref]:
        while isinstance(term, Choice):
            term, tree = term.alternatives[tree[0]], tree[1]
        try:
            match term:
                case Value():
                    if term.optional and term.label not in scope.values:
                        return []
                    scope.read.add(term.label)
                    return [scope.values[term.label]]
                case Apply():
                    return [self._apply(term, tree, scope)]
                case Join():
                    return [self._join(term, tree, scope)]
                case Last():
                    label = scope.arrays[term.array][-1]
                    scope.read.add(label)
                    return [scope.values[label]]
                case Unused():
                    labels = scope.arrays.get(term.array, [])
                    return [scope.values[x] for x in labels if x not in scope.read]
                case Subset():
                    pairs = zip(*tree, strict=True)
                    return [r for i, t in pairs for r in self._refs(term.elements[i], t, scope)]
                case Each():
                    return list(self._each(term, tree, scope))
                case Stack() | CellCall():
                    return [self._cells(term, tree, scope)]
        except EpnasError as error:  # it happened here, if nothing within knew better
            span = getattr(term, "span", None)
            if span and not error.diagnostics[0].span:
                error.diagnostics = (replace(error.diagnostics[0], span=span),)
            raise
        raise TypeError(term)

    def _each(self, term: Each, tree: Tree, scope: Scope) -> Iterator[Ref]:
        (chosen, elements), *bodies = tree
        outer = scope.values.get(term.variable)
        first = scope.slot
        for n, (i, inner) in enumerate(zip(chosen, elements, strict=True)):
            if not term.is_product:
                scope.slot = first + i
            ref = self._one(term.subset.elements[i], inner, scope)
            scope.values[term.variable] = ref
            yield self._one(term.body, bodies[min(n, len(bodies) - 1)], scope)
        scope.slot = max(scope.slot, first + len(term.subset.elements))
        if outer:
            scope.values[term.variable] = outer
        else:
            scope.values.pop(term.variable, None)

    def _take_name(self, scope: Scope) -> tuple[str, int]:
        """The name and the slot of the operation that is being read."""
        if scope.root:
            scope.root = False
            return scope.statement, 0
        scope.slot += 1
        return self._unused_name(f"{scope.statement}.op{scope.slot}"), scope.slot

    def _apply(self, term: Apply, tree: Tree, scope: Scope) -> Ref:
        name, slot = self._take_name(scope)
        callee_tree, *rest = list(tree) or [()] * (1 + len(term.inputs) + len(term.arguments))
        callee = term.callee
        while isinstance(callee, Choice):
            callee, callee_tree = callee.alternatives[callee_tree[0]], callee_tree[1]
        inputs = [self._one(t, r, scope) for t, r in zip(term.inputs, rest, strict=False)]
        assert isinstance(callee, Operation | Function)
        bare = isinstance(callee, Operation) and not (callee.arguments or term.arguments)
        if bare and self.image:
            return self._operation(term, callee.name, callee.name, inputs, {}, name, slot, scope)
        values = rest[len(inputs) :]
        own = callee_tree or ((),) * len(callee.children)
        arguments = [
            *zip(callee.arguments, own, strict=False),
            *zip(term.arguments, values, strict=True),
        ]
        numbers = {n: evaluate(t, r, scope.numbers) for (n, t), r in arguments}
        terms = {n: settle(t, r, scope.terms) for (n, t), r in arguments}
        if isinstance(callee, Function):
            named = numbers, terms
            return self._function(callee, own, inputs, named, (name, slot), scope, term.span)
        if self.image is None:
            return self._sketched(term, callee, inputs, numbers, terms, name, scope)
        pairs = zip(term.arguments, values, strict=True)
        given = [
            f"{k}={print_term(t, r, {}) if isinstance(t, Formula) else print_number(numbers[k])}"
            for (k, t), r in pairs
        ]
        text = print_callee(callee, own, [], given)
        return self._operation(term, callee.name, text, inputs, numbers, name, slot, scope)

    def _function(
        self, function: Function, trees: Tree, inputs: list[Ref],
        named: tuple[dict[str, Number], dict[str, Term]], called: tuple[str, int], scope: Scope,
        span: Span | None,
    ) -> Ref:  # fmt: skip
        (numbers, terms), (name, slot) = named, called
        read = tuple(zip(function.inputs, (r.node for r in inputs), strict=True))
        call = Call(name, function.name, False, tuple(numbers.items()), read, span)
        inner = replace(
            scope, prefix=f"{name}.", calls=(*scope.calls, call), arrays={}, read=set(),
            place=f"{scope.place}{scope.turn}.{f'op{slot}.' if slot else ''}",
            values=dict(zip(function.inputs, inputs, strict=True)),
            numbers={**scope.numbers, **numbers}, terms={**scope.terms, **terms},
        )  # fmt: skip
        body = trees[len(function.arguments) :]
        self.statements(function.statements, body[:-1], inner)
        self._begin("output", 1, inner)
        return self._one(function.result, body[-1], inner)

    def _sketched(
        self, term: Apply, callee: Operation, inputs: list[Ref], numbers: dict[str, Number],
        terms: dict[str, Term], name: str, scope: Scope,
    ) -> Ref:  # fmt: skip
        """An operation without shapes."""
        spec = OPERATIONS[callee.name]
        items = ", ".join(f"{k}={_settled(t, (), {})}" for k, t in terms.items())
        width = terms.get(WIDTH, term.width) if (WIDTH, WIDTH) in spec.parameters else None
        entry = any(r.entry for r in inputs)
        node = Node(
            name, callee.name, tuple(r.node for r in inputs), tuple(sorted(numbers.items())),
            cell=scope.cell, block=scope.block, text=f"{callee.name}({items})" if items else
            callee.name, output=name, entry=entry, width=_settled(width, (), scope.terms),
            span=term.span,
        )  # fmt: skip
        return Ref(self.add(node), "", entry and spec.calibrates)

    def _operation(
        self, term: Apply, operation: str, text: str, inputs: list[Ref],
        numbers: dict[str, Number], name: str, slot: int, scope: Scope,
    ) -> Ref:  # fmt: skip
        spec = OPERATIONS[operation]
        if not spec.calibrates:
            inputs = [self._calibrate(r, scope) if r.raw else r for r in inputs]
        asked = scope.wanted.get(name, 0)
        if asked and WIDTH not in numbers and not spec.calibrates:
            inputs = [self._first(r, asked, scope) for r in inputs]
        read = tuple([self._read(r) for r in inputs])
        width = evaluate(term.width, (), scope.numbers) if term.width else read[0].channels
        where = (
            name, f"op{slot}", scope.cell, scope.instance, scope.block, scope.place + scope.turn
        )  # fmt: skip
        node = _operated(
            operation, spec.build, text, tuple(numbers.items()), asked or width, scope.stride,
            scope.scale, where, read, self.space.sharing, term.span,
        )  # fmt: skip
        self.add(node, scope.calls)
        return Ref(name, where[1], node.entry and spec.calibrates)

    def _read(self, ref: Ref) -> Read:
        node = self.nodes[ref.node]
        joined: tuple[tuple[str, int], ...] = ()
        if node.operation == "concat":
            widths = [self.nodes[i].channels for i in node.inputs]
            joined = tuple(zip(node.labels, widths, strict=True))
        return Read(node.name, node.output, node.channels, node.scale, ref.label, ref.entry, joined)

    def _join(self, term: Join, tree: Tree, scope: Scope) -> Ref:
        name, _ = self._take_name(scope) if scope.root else (None, 0)
        pairs = zip(term.parts, tree or ((),) * len(term.parts), strict=True)
        refs = [ref for part, inner in pairs for ref in self._refs(part, inner, scope)]
        if not refs and self.image:  # a network cannot; a body's graph tells what it is
            raise ShapeError("there is nothing to join here", code="E402")
        if name is None:
            name = self._unused_name(f"{scope.statement}.{term.operator}")
        entry = bool(refs) and all(r.entry for r in refs)
        width = evaluate(term.width, (), scope.numbers) if term.width else 0
        if self.image is None:
            text = term.operator
            wide = _settled(term.width, (), scope.terms)
            if wide:
                text += f"(channels={wide})"
            node = Node(
                name, term.operator, tuple(r.node for r in refs),
                ((WIDTH, width),) if term.width else (), cell=scope.cell, block=scope.block,
                text=text, output=name, entry=entry, width=wide, span=term.span,
            )  # fmt: skip
            alone = len(refs) == 1 and not term.width
            return refs[0] if alone else Ref(self.add(node), "", entry)
        refs = [self._calibrate(r, scope) if r.raw else r for r in refs]
        if scope.stride > 1 and not entry:
            refs = [self._step(r, scope) for r in refs]
        if term.width:
            refs = self._share(refs, width, scope)
        elif name in scope.wanted and term.operator == "add":
            refs = [self._first(r, scope.wanted[name], scope) for r in refs]
        if len(refs) == 1 and term.operator == "add":
            return refs[0]
        return Ref(self._joined(term, name, refs, scope), scope.block, entry)

    def _joined(self, term: Join, name: str, refs: list[Ref], scope: Scope) -> str:
        read = [self.nodes[r.node] for r in refs]
        first = read[0]
        for ref, node in zip(refs[1:], read[1:], strict=True):
            same = node.channels == first.channels or term.operator == "concat"
            if node.scale != first.scale or not same:
                raise ShapeError(
                    f"`{self._written(refs[0], scope)}` has {_shape(first)} and "
                    f"`{self._written(ref, scope)}` has {_shape(node)}; "
                    f"they cannot be {'added' if term.operator == 'add' else 'joined'}",
                    code="E401",
                    hint="a 1x1 convolution or a stride brings them together",
                )
        kind: Kind = "concat" if term.operator == "concat" else "add"
        channels = sum([n.channels for n in read]) if kind == "concat" else first.channels
        layers: tuple[Layer, ...] = ()
        if len(read) > 1:
            outputs = tuple([n.output for n in read])
            layers = (Layer(name, kind, outputs, channels, span=term.span),)
        node = Node(
            name, kind, tuple([n.name for n in read]), (), channels, first.scale, scope.cell,
            scope.instance, scope.block, kind, layers, name if layers else first.output, False,
            tuple([r.label for r in refs]), term.span,
        )  # fmt: skip
        return self.add(node, scope.calls)

    def _written(self, ref: Ref, scope: Scope) -> str:
        """What a value is called in the text; one without a name is what its call makes."""
        node, value = self.nodes[ref.node], scope.values.get(ref.label)
        calls = self.calls[ref.node][len(scope.calls) :]
        if value and (value.node == ref.node or not calls):
            return ref.label
        if calls or re.fullmatch(r"op\d+|output", ref.label):
            return f"{calls[0].callee if calls else node.text.partition('(')[0]}(..)"
        return node.block if re.fullmatch(r"cell\d+", ref.label) else ref.label

    def _step(self, ref: Ref, scope: Scope) -> Ref:
        """A cell's input that is joined with what has taken the stride takes it as well."""
        if not ref.entry:
            return ref
        read = self.nodes[ref.node]
        return self._made(
            "factorized_reduce", ref, scope, channels=read.channels, stride=scope.stride
        )

    def _share(self, refs: list[Ref], channels: Number, scope: Scope) -> list[Ref]:
        """The parts of a `concat`, each with its share of the channels."""
        _check_settings("concat", {WIDTH: channels}, [])
        asked = shared(int(channels), len(refs))
        parts = [self._first(r, n, scope) for r, n in zip(refs, asked, strict=True)]
        for part, width in zip(parts, asked, strict=True):
            node = self.nodes[part.node]
            if node.channels != width:
                raise ShapeError(
                    f"`{part.label}` has {_shape(node)}, but its share is {width}", code="E414",
                    hint="leave out how many channels it makes",
                )  # fmt: skip
        return parts

    def _first(self, ref: Ref, width: int, scope: Scope) -> Ref:
        """The first channels of a value that has more than its reader wants."""
        read = self.nodes[ref.node]
        if read.channels <= width or not read.scale:
            return ref
        return self._made("channel_slice", ref, scope, start=0, stop=width)

    def _made(self, operation: str, ref: Ref, scope: Scope, **settings: Setting) -> Ref:
        """A value by way of an operation that no text names."""
        read = self.nodes[ref.node]
        wish = f"{scope.statement}.{operation}"
        copies = sum(reader.startswith(wish) for reader in self.readers[read.name])
        name = self._unused_name(wish)
        key = f"{scope.instance}/{scope.place}{scope.turn}/{ref.label}/{operation}"
        key += f"_{copies + 1}" * (copies > 0)
        trace = Trace(name, {read.output: read.channels}, key)
        output = OPERATIONS[operation].build(trace, read.output, **settings)
        text = ", ".join(f"{k}={v}" for k, v in settings.items())
        node = Node(
            name, operation, (read.name,), tuple(settings.items()), trace.channels[output],
            read.scale * int(settings.get(ENTRY, 1)), scope.cell, scope.instance, scope.block,
            f"{operation}({text})", tuple(trace.layers), output,
        )  # fmt: skip
        self.add(node, scope.calls)
        return ref._replace(node=name, entry=ref.entry and ENTRY not in settings)

    # --- cells

    def _calibrate(self, ref: Ref, scope: Scope) -> Ref:
        """A cell's input brought to the cell's width and scale by the paper's 1x1 convolution."""
        node = self.nodes[ref.node]
        if (node.channels, node.scale) == (scope.width, scope.scale):
            return Ref(ref.node, ref.label, ref.entry)
        if ref.node not in scope.calibrated:
            instance, read = scope.instance, self._read(ref)
            made = _calibration(read, scope.width, scope.scale, scope.cell, instance)
            depth = [call.name for call in scope.calls].index(instance)
            self.add(made, scope.calls[: depth + 1])
            scope.calibrated[ref.node] = Ref(made.name, ref.label, ref.entry)
        return scope.calibrated[ref.node]

    def _cells(self, term: Stack | CellCall, tree: Tree, scope: Scope) -> Ref:
        name, _ = self._take_name(scope)
        trees = tree or ((),) * len(term.children)
        inputs = [self._one(t, r, scope) for t, r in zip(term.inputs, trees, strict=False)]
        if self.image is None:
            cells = (term.cell,) if isinstance(term, CellCall) else term.cells
            text, wide = " ".join(cells), ""
            settings: Settings = ()
            if term.width:
                wide = _settled(term.width, trees[-1], scope.terms)
                text += f"(channels={wide})"
                settings = ((WIDTH, evaluate(term.width, trees[-1], scope.numbers)),)
            node = Node(
                name, cells[0] if len(cells) == 1 else "stack", tuple(r.node for r in inputs),
                settings, text=text, block=scope.block, output=name, width=wide,
                span=term.span,
            )  # fmt: skip
            return Ref(self.add(node), "")
        width = 0
        if scope.instance:
            inputs = [self._calibrate(r, scope) if r.raw else r for r in inputs]
        if term.width:
            given: dict[str, Setting] = {WIDTH: evaluate(term.width, trees[-1], scope.numbers)}
            _check_settings(term.cell if isinstance(term, CellCall) else "stack", given, [])
            width = int(given[WIDTH])
        if isinstance(term, CellCall):
            return self._cell(term.cell, inputs, width, scope, term.span)
        before = [inputs[0]] * (2 - len(inputs)) + inputs
        width = width or self.nodes[inputs[-1].node].channels
        for cell in term.cells:
            body = self.space.cells[cell]
            width *= body.names[cell]
            read = before[-len(body.inputs) :]
            made = self._cell(cell, read, width, scope, term.span)
            before = [*before[1:], made]
        return before[-1]

    def _cell(
        self, cell: str, inputs: list[Ref], width: int, outer: Scope, span: Span | None
    ) -> Ref:
        body = self.space.cells[cell]
        self._count()
        self.instances += 1
        number = self.instances
        instance = f"cell{number}"
        read = [self.nodes[r.node] for r in inputs]
        if any(n.scale == 0 for n in read):
            raise ShapeError(f"the cell `{cell}` needs images, not vectors", code="E405")
        scope = Scope(
            f"{instance}.",
            values={
                x: Ref(r.node, x, entry=True, raw=True)
                for x, r in zip(body.inputs, inputs, strict=True)
            },
            numbers={**outer.numbers, "channels": width or read[-1].channels},
            cell=cell,
            instance=instance,
            stride=body.names[cell],
            scale=max(n.scale for n in read),
        )
        scope.width = scope.numbers["channels"]
        names = tuple(zip(body.inputs, (n.name for n in read), strict=True))
        numbers = (("channels", scope.numbers["channels"]),)
        scope.calls = (*outer.calls, Call(instance, cell, True, numbers, names, span))
        made = self._body(body, scope)
        left = self.instances > number and self.nodes[made.node].scale == scope.scale
        if scope.stride > 1 and (made.entry or left):  # left to a cell in it, which did not take it
            raise ShapeError(
                f"the cell `{cell}` has a stride of {scope.stride}, but what it returns has not "
                "taken it", code="E410", hint="the stride is taken by operations on its inputs, "
                f"not by cells unless their names have a `/{scope.stride}` as well",
            )  # fmt: skip
        return Ref(made.node, instance)


class Read(NamedTuple):
    """What an operation depends on of a value that it reads.

    Attributes:
        joined: of a `concat`: what the joined values are called, and their channels.
    """

    name: str
    output: str
    channels: int
    scale: int
    label: str
    entry: bool
    joined: tuple[tuple[str, int], ...]


@lru_cache(maxsize=4096)  # 2 KB each
def _operated(
    operation: str, build: Callable[..., str], text: str, numbers: tuple[tuple[str, Number], ...],
    width: Number, stride: int, scale: int, where: tuple[str, str, str, str, str, str],
    read: tuple[Read, ...], sharing: tuple[str, ...], span: Span | None,
) -> Node:  # fmt: skip
    """The node of an operation; the architectures of a search have most of them in common."""
    name, slot, cell, instance, block, place = where
    spec, first = OPERATIONS[operation], read[0]
    entry = any(r.entry for r in read)
    if spec.calibrates:
        stride = max(1, scale // max(1, first.scale))
    usual = {WIDTH: width, ENTRY: stride if entry else 1}
    given, settings = dict(numbers), dict(spec.fixed)
    for parameter, default in spec.parameters:
        settings[parameter] = given.get(parameter, usual.get(default, default))  # type: ignore
    _check_settings(operation, settings, read)
    labels = "+".join(r.label for r in read)
    coordinates = {
        "cell": instance or "network", "block": place, "slot": slot, "op": text, "input": labels
    }  # fmt: skip
    key = "/".join(coordinates[c] for c in sharing)
    trace = Trace(name, {r.output: r.channels for r in read}, key, span)
    output = build(trace, *(r.output for r in read), **settings)
    scale = first.scale * int(settings.get(ENTRY, 1))
    grown = math.prod(x["factor"] for x in trace.layers if x.kind == "unpool")
    if trace.layers and trace.layers[-1].kind in {"global_avg_pool", "linear"}:
        scale, grown = 0, 1
    if scale % grown:
        raise ShapeError("this would be larger than the image", code="E413",
                         hint="only what a stride has made smaller can be made larger")  # fmt: skip
    return Node(
        name, operation, tuple(r.name for r in read), tuple(settings.items()),
        trace.channels[output], scale // grown, cell, instance, block, text,
        _sliced(trace.layers, first), output, entry, (), span,
    )  # fmt: skip


@lru_cache(maxsize=1024)  # as above
def _calibration(read: Read, width: Number, scale: int, cell: str, instance: str) -> Node:
    name, key = f"{instance}.{read.label}", f"{instance}/{read.label}/calibrate"
    trace = Trace(name, {read.output: read.channels}, key)
    stride = max(1, scale // read.scale)
    output = OPERATIONS["conv_1x1"].build(
        trace, read.output, kernel=1, channels=width, stride=stride, groups=1, dilation=1
    )
    return Node(
        name, "conv_1x1", (read.name,), (("stride", stride),), trace.channels[output], scale, cell,
        instance, read.label, "conv_1x1", _sliced(trace.layers, read), output,
    )  # fmt: skip


def _sliced(layers: Sequence[Layer], read: Read) -> tuple[Layer, ...]:
    """Give 1x1 convolutions over joined values a slice of the weight for each value."""
    if not read.joined:
        return tuple(layers)
    joined = {read.output}
    result = []
    for layer in layers:
        reads = layer.inputs[0] in joined
        if reads and layer.kind == "relu":
            joined.add(layer.name)
        pointwise = reads and layer.kind == "conv" and layer["kernel_h"] == layer["kernel_w"] == 1
        result.append(
            replace(layer, slices=read.joined) if pointwise and layer["groups"] == 1 else layer
        )
    return tuple(result)


def _settled(term: Term | None, tree: Tree, known: Mapping[str, Term]) -> str:
    """The text of a number whose choices are made."""
    return print_term(settle(term, tree, known), (), {}) if term else ""


def _paths(names: Iterable[str]) -> Iterator[str]:
    """Dotted names and their beginnings: `cell1.h2.op1`, `cell1.h2`, `cell1`."""
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _shape(node: Node | Read) -> str:
    return f"{node.channels} channels" + (f" at 1/{node.scale}" if node.scale > 1 else "")


def _check_settings(name: str, settings: dict[str, Setting], read: Sequence[Read]) -> None:
    vector = bool(read) and read[0].scale == 0
    for other in read[1:]:
        if other.channels != read[0].channels or other.scale not in {0, read[0].scale}:
            raise ShapeError(
                f"`{name}` of {_shape(read[0])} and {_shape(other)}", code="E411",
                hint="both need the same size and channels, or the second is a vector",
            )  # fmt: skip
    if name == "linear" and not vector:
        raise ShapeError("`linear` needs a vector", code="E405", hint="use global_avg_pool first")
    if vector and name not in {"linear", "dropout", "relu", "relu6", "swish", "skip_connect"}:
        raise ShapeError(f"`{name}` needs an image; this value is a vector", code="E405")
    for key, value in settings.items():
        check_setting(name, key, value)
        settings[key] = value if key == "p" else int(value)
    if settings.get("padding", 0) > (half := settings.get("kernel", 0) // 2):
        raise ShapeError(
            f"`padding` of `{name}` is {settings['padding']}; half the kernel, {half}, is the most",
            code="E406",
        )
    groups = settings.get("groups", 1)
    makes = settings.get("channels", read[0].channels if read else 0)
    if groups == 1:
        return
    if read[0].channels % groups or makes % groups:
        raise ShapeError(
            f"`{name}` reads {read[0].channels} channels and makes {makes}; they do not fall "
            f"into {groups} groups",
            code="E407",
        )
