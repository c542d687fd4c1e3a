"""The arithmetic of the language: numbers in, a number or an error out."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from epnas_dsl.errors import ShapeError, Span
from epnas_dsl.space.terms import Choice, Constant, Formula, Number, Term, Tree, Variable

_CALCULATIONS: dict[str, Callable[[Any, Any], Number]] = {
    "+": operators.add,
    "-": operators.sub,
    "*": operators.mul,
    "//": operators.floordiv,
    "%": operators.mod,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
    "==": operators.eq,
    "!=": operators.ne,
    "min": min,
    "max": max,
}


def evaluate(term: Term, tree: Tree, numbers: Mapping[str, Number]) -> Number:
    """The number that a term stands for, its choices made and its variables known."""
    match term:
        case Constant():
            return term.value
        case Variable():
            return numbers[term.name]
        case Choice():
            return evaluate(term.alternatives[tree[0]], tree[1], numbers)
        case Formula():
            trees = tree or ((),) * len(term.operands)
            pairs = zip(term.operands, trees, strict=True)
            return calculate(term.operator, [evaluate(t, r, numbers) for t, r in pairs], term.span)
    raise TypeError(term)


def settle(term: Term, tree: Tree, known: Mapping[str, Term]) -> Term:
    """The number with its choices made and the known variables put in; worked out where it can."""
    match term:
        case Variable():
            return known.get(term.name, term)
        case Choice():
            return settle(term.alternatives[tree[0]], tree[1], known)
        case Formula():
            trees = tree or ((),) * len(term.operands)
            parts = [settle(t, r, known) for t, r in zip(term.operands, trees, strict=True)]
            values = [p.value for p in parts if isinstance(p, Constant)]
            if len(values) == len(parts):
                return Constant(calculate(term.operator, values, term.span))
            return Formula(term.operator, tuple(parts), term.span)
    return term


def calculate(operator: str, values: Sequence[Number], span: Span | None = None) -> Number:
    """One operator applied to one or two numbers.

    Truth is 1 and 0; a division that comes out even gives a whole number.

    Raises:
        ShapeError: division by zero, an exponent beyond 64, or a result beyond 10^15.
    """
    if operator == "^" and abs(values[1]) > 64:
        message = f"an exponent of {values[1]:.6g}; it lies between -64 and 64"
        raise ShapeError(message, code="E208", span=span)
    try:
        result = _calculate(operator, values)
    except ZeroDivisionError:
        raise ShapeError("a division by zero", code="E208", span=span) from None
    except OverflowError:
        raise ShapeError("a number beyond 10^15", code="E208", span=span) from None
    if isinstance(result, complex):
        raise ShapeError("a root of a negative number", code="E208", span=span)
    if not abs(result) <= 1e15:
        raise ShapeError("a number beyond 10^15", code="E208", span=span)
    return int(result) if isinstance(result, bool) else result


def _calculate(operator: str, values: Sequence[Number]) -> Number:
    if len(values) == 1:
        return -values[0] if operator == "-" else not values[0]
    left, right = values
    if operator == "/":
        quotient = left / right
        return int(quotient) if quotient.is_integer() else quotient
    if operator == "^":
        power: Number = left**right
        return power
    if operator == "and":
        return bool(left and right)
    if operator == "or":
        return bool(left or right)
    return _CALCULATIONS[operator](left, right)
