"""Turn an architecture back into text: the body of its space with the choices made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from epnas_dsl.space.terms import (
    Apply,
    CellCall,
    Choice,
    Constant,
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
    Variable,
)

if TYPE_CHECKING:
    from epnas_dsl.space.architecture import Architecture
    from epnas_dsl.space.search_space import SearchSpace

Names = Mapping[str, str]


def print_architecture(architecture: Architecture) -> str:
    """The text of an architecture."""
    space = architecture.space
    trees = space.trees(architecture.choices)
    decided = [b for b in space.bodies if any(body is b for body, _ in space.statements)]
    bodies = []
    for body in decided:
        written = [
            print_statement(s, trees[s]) for s in (*body.statements, body.result) if s in trees
        ]
        bodies.append((body.name, written))
    head = print_reference(space)
    if not bodies:
        return f"{head}:"
    if len(bodies) == 1:
        return f"{head}: {'; '.join(bodies[0][1])}"
    return f"{head}: " + " ".join(f"{n} {{ {'; '.join(w)} }}" for n, w in bodies)


def print_reference(space: SearchSpace) -> str:
    """How the space is named: `micro(channels=96)`, with the parameters that were changed."""
    given = ", ".join(f"{k}={print_number(v)}" for k, v in space.changed.items())
    return f"{space.name}({given})" if given else space.name


def print_number(value: Number) -> str:
    """A number as the language writes it."""
    return repr(value)


def print_statement(statement: Statement, tree: Tree, names: Names | None = None) -> str:
    """One statement with its choices made."""
    text = print_term(statement.term, tree, names or {})
    return f"return {text}" if statement.label == "return" else f"{statement.label} = {text}"


def print_term(term: Term, tree: Tree, names: Names) -> str:
    """One expression with its choices made; `names` stand for the variables of comprehensions."""
    match term:
        case Choice():
            return print_term(term.alternatives[tree[0]], tree[1], names)
        case Constant():
            return print_number(term.value)
        case Variable():
            return term.name
        case Formula():
            return _formula(term, _inner(term, tree), names)
        case Value():
            return names.get(term.label, term.label)
        case Last():
            return f"last({term.array})"
        case Operation() | Function():
            return print_callee(term, tree, [], [])
        case Apply():
            return _apply(term, tree, names)
        case Join():
            parts = list(print_parts(term.parts, _inner(term, tree), names, term.operator))
            if term.operator == "add" and not (len(parts) == 1 and parts[0].startswith("sum(")):
                return " + ".join(parts) or "sum()"
            width = _width(term.width, (), names)
            return f"{'sum' if term.operator == 'add' else 'concat'}({', '.join(parts)}{width})"
        case Stack() | CellCall():
            trees = _inner(term, tree)
            given = [*map(print_term, term.inputs, trees, [names] * len(term.inputs))]
            given += [print_cells(term.cells)] if isinstance(term, Stack) else []
            name = "stack" if isinstance(term, Stack) else term.cell
            return f"{name}({', '.join(given)}{_width(term.width, trees[-1], names)})"
    return ", ".join(print_parts((term,), (tree,), names))


def print_cells(cells: Iterable[str]) -> str:
    """The list of a stack: `[normal*2, reduction]`."""
    return f"[{', '.join(f'{c}*{n}' if n > 1 else c for c, n in runs(cells))}]"


def runs(cells: Iterable[str]) -> list[tuple[str, int]]:
    """Equal neighbours folded: [("normal", 2), ("reduction", 1)]."""
    return [(name, len(list(group))) for name, group in groupby(cells)]


def _inner(term: Term, tree: Tree) -> Tree:
    return tree or ((),) * len(term.children)


def _width(width: Term | None, tree: Tree, names: Names) -> str:
    return f", channels={print_term(width, tree, names)}" if width else ""


def print_parts(
    parts: Iterable[Term], trees: Iterable[Tree], names: Names, operator: str = ""
) -> Iterable[str]:
    """The operands of a join, chosen subsets spread out; `operator` is that of the join."""
    write = print_operand if operator == "add" else print_term
    for part, tree in zip(parts, trees, strict=True):
        match part:
            case Subset():
                for i, inner in zip(*tree, strict=True):
                    yield write(part.elements[i], inner, names)
            case Each():
                (chosen, _), *bodies = tree or (((), ()),)
                for n, i in enumerate(chosen):
                    element = print_operand(part.subset.elements[i], (), names)
                    body = bodies[min(n, len(bodies) - 1)]
                    yield write(part.body, body, {**names, part.variable: element})
            case Unused():
                yield f"unused({part.array})"
            case _:
                yield write(part, tree, names)


def print_operand(term: Term, tree: Tree, names: Names) -> str:
    """A term as an operand of a sum: a sum keeps its own operands together, `sum(a, b)`."""
    while isinstance(term, Choice):
        term, tree = term.alternatives[tree[0]], tree[1]
    if isinstance(term, Join) and term.operator == "add":
        return f"sum({', '.join(print_parts(term.parts, _inner(term, tree), names, 'add'))})"
    return print_term(term, tree, names)


def _apply(term: Apply, tree: Tree, names: Names) -> str:
    callee, *rest = _inner(term, tree)
    inputs = [print_term(t, r, names) for t, r in zip(term.inputs, rest, strict=False)]
    values = rest[len(term.inputs) :]
    arguments = [
        f"{n}={print_term(t, r, names)}" for (n, t), r in zip(term.arguments, values, strict=True)
    ]
    return print_callee(term.callee, callee, inputs, arguments)


def print_callee(callee: Term, tree: Tree, inputs: list[str], arguments: list[str]) -> str:
    """A call of an operation or a function; a function with choices shows them in braces."""
    if isinstance(callee, Choice):
        return print_callee(callee.alternatives[tree[0]], tree[1], inputs, arguments)
    assert isinstance(callee, Operation | Function)
    trees = _inner(callee, tree)
    own = [
        f"{n}={print_term(t, r, {})}" for (n, t), r in zip(callee.arguments, trees, strict=False)
    ]
    items = [*inputs, *own, *arguments]
    text = f"{callee.name}({', '.join(items)})" if items else callee.name
    if isinstance(callee, Function):
        body = trees[len(callee.arguments) :]
        statements = (*callee.statements, Statement("return", callee.result))
        written = [
            print_statement(s, t) for s, t in zip(statements, body, strict=True) if s.term.decisions
        ]
        if written:
            text += f" {{ {'; '.join(written)} }}"
    return text


def _formula(term: Formula, trees: Tree, names: Names) -> str:
    if term.operator in {"min", "max"}:
        given = map(print_term, term.operands, trees, [names] * len(trees))
        return f"{term.operator}({', '.join(given)})"
    pairs = zip(term.operands, trees, strict=True)
    texts = [_operand(operand, tree, names) for operand, tree in pairs]
    if len(texts) == 1:
        return f"{term.operator}{' ' if term.operator == 'not' else ''}{texts[0]}"
    return f" {term.operator} ".join(texts)


def _operand(term: Term, tree: Tree, names: Names) -> str:
    text = print_term(term, tree, names)
    while isinstance(term, Choice):
        term, tree = term.alternatives[tree[0]], tree[1]
    compound = isinstance(term, Formula) and term.operator not in {"min", "max"}
    return f"({text})" if compound or text.startswith("-") else text
