"""Turn architectures into rows of symbols for the surrogate, one row a level, and back.

A choice of one among fixed alternatives is one symbol, a subset one symbol (0 or 1) for each
element, so that a row of the micro space reads (O1, S1, O2, S2) as in the paper's section 4 and one
of the macro space reads operation and bit set. Choices inside a choice have symbols of their own,
-1 where they are not open. The same columns serve every level; a level that lacks one has -1 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from epnas_dsl.errors import ArchitectureError, LimitError
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, Each, Subset, Term

Symbols = npt.NDArray[np.int16]
Numbers = npt.NDArray[np.int64]
MAX_TABLE = 1 << 20
SMALL = 1 << 15  # options that are written down once and looked up


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
    if isinstance(term, Subset) and term.is_bit_set:
        return [2] * len(term.elements)
    some = _some_of(term)
    first = [len(term.alternatives)] if isinstance(term, Choice) else [2] * len(some[0])
    parts = some[0] or [c for c in term.children if c.decisions]
    return first + [n for part in parts for n in _symbols(part)]


def _encode(term: Term, numbers: Numbers) -> Symbols:
    """The symbols of numbered expressions; those of few options are looked up."""
    known = term.size <= SMALL and not (isinstance(term, Subset) and term.is_bit_set)
    return _table(term)[numbers] if known else _written(term, numbers)


def _written(term: Term, numbers: Numbers) -> Symbols:
    """The symbols of numbered expressions, from those of their parts."""
    if isinstance(term, Subset) and term.is_bit_set:
        bits = np.arange(len(term.elements), dtype=np.int64)
        if len(bits) > 62:
            raise LimitError(f"a subset of {len(bits)} elements has no symbols", code="E918")
        return ((numbers[:, None] + term.least) >> bits & 1).astype(np.int16)
    if _some_of(term)[0]:
        return _table(term)[numbers]
    rows = np.full((len(numbers), len(_symbols(term))), -1, np.int16)
    if isinstance(term, Choice):
        for i, (part, columns) in enumerate(_parts(term)):
            here = (numbers >= 0) & (numbers < part.size)
            rows[here, 0] = i
            rows[here, columns] = _written(part, numbers[here])
            numbers = numbers - part.size
        return rows
    for part, columns in reversed(_parts(term)):
        numbers, rest = np.divmod(numbers, part.size)
        rows[:, columns] = _written(part, rest)
    return rows


def _decode(term: Term, symbols: Symbols) -> Numbers:
    numbers = np.zeros(len(symbols), np.int64)
    if isinstance(term, Subset) and term.is_bit_set:
        weights = 1 << np.arange(len(term.elements), dtype=np.int64)
        numbers = (symbols.clip(0, 1).astype(np.int64) * weights).sum(1) - term.least
    elif _some_of(term)[0]:
        known = _numbers(term)
        found = (known.get(np.ascontiguousarray(row).tobytes(), 0) for row in symbols)
        numbers = np.fromiter(found, np.int64, len(symbols))
    elif isinstance(term, Choice):
        for i, (part, columns) in enumerate(_parts(term)):
            here = symbols[:, 0] == i
            numbers[here] += _decode(part, symbols[here, columns])
            numbers[symbols[:, 0] > i] += part.size
    else:
        for part, columns in _parts(term):
            numbers = numbers * part.size + _decode(part, symbols[:, columns])
    return np.clip(numbers, 0, term.size - 1)


def _some_of(term: Term) -> tuple[tuple[Term, ...], int, int]:
    """The elements of which some are chosen, with choices of their own, and how many."""
    if isinstance(term, Each) and not term.is_product:
        return (term.body,) * len(term.subset.elements), term.subset.least, term.subset.most
    if isinstance(term, Subset) and not term.is_bit_set:
        return term.elements, term.least, term.most
    return (), 0, 0


def _parts(term: Term) -> list[tuple[Term, slice]]:
    """The alternatives or the pieces of a term, and where their symbols stand."""
    choice = isinstance(term, Choice)
    parts = [c for c in term.children if choice or c.decisions]
    ends = accumulate(map(len, map(_symbols, parts)), initial=int(choice))
    return [(part, slice(*place)) for part, place in zip(parts, pairwise(ends), strict=True)]


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
    some = _some_of(term)
    return _subsets(*some) if some[0] else _written(term, np.arange(term.size))


def _subsets(elements: Sequence[Term], least: int, most: int) -> Symbols:
    """For each choice of elements a bit for each of them, then the symbols of those chosen."""
    rows, bits = np.empty((1, 0), np.int16), list[int]()
    for after, element in zip(reversed(range(len(elements))), elements, strict=True):
        bits.append(rows.shape[1])
        inner = _written(element, np.arange(element.size))
        options = np.pad(inner, ((1, 0), (1, 0)), constant_values=1)
        options[0] = [0, *[-1] * (options.shape[1] - 1)]  # left out
        rows = np.hstack([rows.repeat(len(options), 0), np.tile(options, (len(rows), 1))])
        count = rows[:, bits].sum(1)
        rows = rows[(count <= most) & (count + after >= least)]
    return rows[:, [*bits, *(i for i in range(rows.shape[1]) if i not in bits)]]
