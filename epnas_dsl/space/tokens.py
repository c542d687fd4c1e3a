"""Turn architectures into rows of symbols for the surrogate, one row a level, and back.

A choice of one among fixed alternatives is one symbol, a subset one symbol (0 or 1) for each
element, so that a row of the micro space reads (O1, S1, O2, S2) as in the paper's section 4 and one
of the macro space reads operation and bit set. Choices inside a choice have symbols of their own,
-1 where they are not open. The same columns serve every level; a level that lacks one has -1 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce

import numpy as np
import numpy.typing as npt

from epnas_dsl.errors import ArchitectureError, LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, Each, Subset, Term

Symbols = npt.NDArray[np.int16]
Numbers = npt.NDArray[np.int64]
MAX_TABLE = 1 << 20


@lru_cache(maxsize=64)
def columns(space: SearchSpace) -> tuple[int, ...]:
    """How many symbols each column of a row has."""
    rows = [[n for d in level for n in _symbols(d.term)] for level in space.levels]
    width = max(map(len, rows))
    return tuple(max((r[i] for r in rows if i < len(r)), default=1) for i in range(width))


def encode(space: SearchSpace, level: int, choices: Numbers) -> Symbols:
    """The symbols of rows of choices of one level: [n, decisions] to [n, columns].

    Raises:
        LimitError: a decision has too many options to be written as symbols.
    """
    width = len(columns(space))
    rows = np.full((len(choices), width), -1, np.int16)
    position = 0
    for i, decision in enumerate(space.levels[level - 1]):
        part = _encode(decision.term, choices[:, i])
        rows[:, position : position + part.shape[1]] = part
        position += part.shape[1]
    return rows


def decode(space: SearchSpace, level: int, tokens: Symbols) -> Numbers:
    """The choices of rows of symbols: [n, columns] to [n, decisions]; the inverse of `encode`.

    Raises:
        ArchitectureError: a row is not one of this level's.
    """
    choices = np.zeros((len(tokens), len(space.levels[level - 1])), np.int64)
    position = 0
    for i, decision in enumerate(space.levels[level - 1]):
        width = len(_symbols(decision.term))
        choices[:, i] = _decode(decision.term, tokens[:, position : position + width])
        position += width
    if not np.array_equal(encode(space, level, choices), tokens):
        raise ArchitectureError(
            f"these symbols are no row of level {level} of {space.name}", code="E307"
        )
    return choices


def to_tokens(architecture: Architecture) -> Symbols:
    """The symbols of an architecture: [level, columns].

    Raises:
        LimitError: a decision has too many options to be written as symbols.
    """
    largest = max((d.size for d in architecture.space.decisions), default=1)
    if largest > 1 << 62:
        raise LimitError(f"a decision of more than {1 << 62:,} options has no symbols", code="E918")
    rows = [
        encode(architecture.space, level, np.array([row], np.int64).reshape(1, -1))
        for level, row in enumerate(architecture.rows(), 1)
    ]
    return np.concatenate(rows)


def from_tokens(space: SearchSpace, tokens: Symbols) -> Architecture:
    """The architecture of some symbols: the inverse of `to_tokens`.

    Raises:
        ArchitectureError: there is none.
    """
    rows = (decode(space, level, row[None])[0] for level, row in enumerate(tokens, 1))
    return Architecture(space, [number for row in rows for number in row.tolist()])


def possible(space: SearchSpace, level: int, begun: Sequence[int]) -> tuple[int, ...]:
    """The symbols that may come next in a row of a level of which some columns are written.

    -1 alone where the column is not open, or one that this level lacks.

    Raises:
        LimitError: a decision has too many options to be written as symbols.
    """
    position = 0
    for decision in space.levels[level - 1]:
        end = position + len(_symbols(decision.term))
        if len(begun) < end:
            return _possible(decision.term, tuple(begun[position:]))
        position = end
    return (-1,)


@lru_cache(maxsize=1 << 16)
def _possible(term: Term, begun: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(term, Subset) and term.is_bit_set:
        is_last_chance = term.least > 0 and len(begun) + 1 == len(term.elements)
        return (1,) if is_last_chance and not any(begun) else (0, 1)
    rows = _table(term)
    fitting = rows[(rows[:, : len(begun)] == begun).all(1), len(begun)]
    return tuple(np.unique(fitting).tolist())


def _symbols(term: Term) -> list[int]:
    """How many symbols each column of a term has."""
    match term:
        case Choice():
            return [len(term.alternatives), *(n for a in term.alternatives for n in _symbols(a))]
        case Subset():
            inner = [n for e in term.elements for n in _symbols(e)]
            return [2] * len(term.elements) + inner
        case Each() if not term.is_product:
            n = len(term.subset.elements)
            return [2] * n + _symbols(term.body) * n
    return [n for c in term.children if c.decisions for n in _symbols(c)]


def _encode(term: Term, numbers: Numbers) -> Symbols:
    if isinstance(term, Subset) and term.is_bit_set:
        bits = np.arange(len(term.elements), dtype=np.int64)
        if len(bits) > 62:
            raise LimitError(f"a subset of {len(bits)} elements has no symbols", code="E918")
        return ((numbers[:, None] + term.least) >> bits & 1).astype(np.int16)
    return _table(term)[numbers]


def _decode(term: Term, symbols: Symbols) -> Numbers:
    if isinstance(term, Subset) and term.is_bit_set:
        weights = 1 << np.arange(len(term.elements), dtype=np.int64)
        numbers: Numbers = (symbols.clip(0, 1).astype(np.int64) * weights).sum(1) - term.least
        return np.clip(numbers, 0, term.size - 1)
    known = _numbers(term)
    found = (known.get(np.ascontiguousarray(row).tobytes(), 0) for row in symbols)
    return np.fromiter(found, np.int64, len(symbols))


@lru_cache(maxsize=256)
def _numbers(term: Term) -> dict[bytes, int]:
    return {row.tobytes(): i for i, row in enumerate(_table(term))}


@lru_cache(maxsize=256)
def _table(term: Term) -> Symbols:
    """The symbols of every expression that a term stands for: [size, columns]."""
    if term.size > MAX_TABLE:
        raise LimitError(
            f"a decision of {term.size:,} options is too large to be written as symbols",
            code="E918", hint="split it into several decisions",
        )  # fmt: skip
    match term:
        case Choice():
            rows = np.full((term.size, len(_symbols(term))), -1, np.int16)
            top, left = 0, 1
            for i, alternative in enumerate(term.alternatives):
                found = _table(alternative)
                bottom, right = top + len(found), left + found.shape[1]
                rows[top:bottom, 0] = i
                rows[top:bottom, left:right] = found
                top, left = bottom, right
            return rows
        case Subset() if term.is_bit_set:
            return _encode(term, np.arange(term.size))
        case Subset():
            return _subsets(term.elements, term)
        case Each() if not term.is_product:
            return _subsets((term.body,) * len(term.subset.elements), term.subset)
    return reduce(_product, [_table(c) for c in term.children if c.decisions], _NOTHING)


_NOTHING = np.empty((1, 0), np.int16)


def _product(first: Symbols, second: Symbols) -> Symbols:
    """Each row of the first beside each of the second, which change fastest."""
    return np.hstack([first.repeat(len(second), 0), np.tile(second, (len(first), 1))])


def _subsets(elements: Sequence[Term], chosen: Subset) -> Symbols:
    """For each choice of elements a bit for each of them, then the symbols of those chosen."""
    rows, bits = _NOTHING, list[int]()
    for after, element in zip(reversed(range(len(elements))), elements, strict=True):
        bits.append(rows.shape[1])
        options = np.pad(_table(element), ((1, 0), (1, 0)), constant_values=1)
        options[0] = [0, *[-1] * (options.shape[1] - 1)]  # left out
        rows = _product(rows, options)
        count = rows[:, bits].sum(1)
        rows = rows[(count <= chosen.most) & (count + after >= chosen.least)]
    return rows[:, [*bits, *(i for i in range(rows.shape[1]) if i not in bits)]]
