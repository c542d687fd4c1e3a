"""Turn the integer strings of ENAS into architectures and back.

Operations have the numbers of the authors' code, whatever their order in a space.
"""

from __future__ import annotations

import re

from epnas_dsl.errors import ArchitectureError, Source, Span
from epnas_dsl.lang.literals import Literal, wrong
from epnas_dsl.lang.loading import load_space
from epnas_dsl.lang.notations.cells import (
    Cell,
    below,
    blocks_of,
    frames_of,
    read_cells,
    spelt,
    twos,
)
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.genotype import print_term
from epnas_dsl.space.search_space import SearchSpace
from epnas_dsl.space.terms import Choice, Subset, Term, Value, pick

MICRO = {"sep_conv_3x3": ("sep_conv_3x3",), "sep_conv_5x5": ("sep_conv_5x5",),
         "avg_pool_3x3": ("avg_pool_3x3",), "max_pool_3x3": ("max_pool_3x3",),
         "identity": ("skip_connect", "identity")}  # fmt: skip
MACRO = ("conv_3x3", "dw_conv_3x3", "conv_5x5", "dw_conv_5x5", "avg_pool_3x3", "max_pool_3x3")


def _integers(source: Source) -> list[Literal]:
    found = []
    for match in re.finditer(r"[^\s,\[\]\"]+", source.text):
        span = Span(source, match.start(), match.end())
        if not re.fullmatch(r"\d{1,9}", match[0]):
            raise wrong(f"`{match[0]}` is no whole number", span)
        found.append(Literal(int(match[0]), span))
    if not found:
        raise wrong("no numbers", Span(source, 0, len(source.text)))
    return found


def read_enas_micro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 2 0 0 0 4 0 1 ..`: for each block value, operation, value, operation; two cells."""
    numbers = _integers(source)
    if len(numbers) % 8:
        raise wrong(f"{len(numbers)} numbers; two cells of some blocks have a multiple of 8",
                    numbers[0].span.to(numbers[-1].span))  # fmt: skip
    cells = {}
    half = len(numbers) // 2
    for role, part in (("normal", numbers[:half]), ("reduction", numbers[half:])):
        steps = [(Literal([*MICRO][below(operation, len(MICRO))], operation.span), value)
                 for value, operation in twos(part)]  # fmt: skip
        cells[role] = Cell(twos(steps), None, part[0].span.to(part[-1].span))
    return read_cells(space or load_space("enas_micro"), cells, MICRO)


def print_enas_micro(architecture: Architecture) -> str:
    """The inverse of `read_enas_micro`."""
    numbers: list[int] = []
    for frame in frames_of(architecture.space, joins=False).values():
        for block in blocks_of(architecture, frame):
            for node, value in block:
                numbers += [value, [*MICRO].index(spelt(node, MICRO, True))]
    return " ".join(map(str, numbers))


def read_enas_macro(source: Source, space: SearchSpace | None) -> Architecture:
    """`0 3 0 0 1 0 ..`: for each layer its operation, then a bit for each skip."""
    space = space or load_space("enas_macro")
    numbers = _integers(source)
    choices: list[int] = []
    rest = list(numbers)
    for row in _layers(space):
        if not rest:
            break
        for term in row:
            bits = len(term.elements) if isinstance(term, Subset) else 0
            if len(rest) < max(1, bits) and (bits or isinstance(term, Choice)):
                raise wrong("the text ends within a layer", numbers[-1].span)
            if isinstance(term, Subset):
                mask = sum(below(rest.pop(0), 2) << i for i in range(bits))
                choices.append(mask - term.least)
            else:
                given, known = rest.pop(0), _names(term)
                name = MACRO[below(given, len(MACRO))]
                if name not in known:
                    raise ArchitectureError(f"`{name}` is not one of {', '.join(known)}",
                                            code="E310", span=given.span)  # fmt: skip
                choices.append(known.index(name))
    if rest:
        raise wrong(f"more numbers than {space.name} has layers for", rest[0].span)
    return Architecture(space, choices)


def print_enas_macro(architecture: Architecture) -> str:
    """The inverse of `read_enas_macro`."""
    numbers: list[int] = []
    for row, terms in zip(architecture.rows(), _layers(architecture.space), strict=False):
        for number, term in zip(row, terms, strict=True):
            if isinstance(term, Subset):
                chosen = pick(term, number)[0]
                numbers += [int(i in chosen) for i in range(len(term.elements))]
            elif (name := _names(term)[number]) in MACRO:
                numbers.append(MACRO.index(name))
            else:
                raise ArchitectureError(f"this notation has no number for `{name}`", code="E315")
    return " ".join(map(str, numbers))


def _names(term: Term) -> list[str]:
    """The operations that a layer chooses from."""
    return [print_term(term, pick(term, i), {}) for i in range(term.size)]


def _layers(space: SearchSpace) -> list[list[Term]]:
    """For each level the choice of an operation and, where there is one, that of the skips."""
    rows = [[d.term for d in level] for level in space.levels]
    labels = [s.label for _, s in space.statements]
    fits = len(labels) == len(rows)
    for i, (operation, *skips) in enumerate(rows if fits else ()):
        fits &= isinstance(operation, Choice) and operation.kind == "operation"
        fits &= len(skips) == 1 or i == len(skips) == 0
        for term in skips:  # what a layer reads stands before them all
            fits &= isinstance(term, Subset) and term.is_bit_set and len(term.elements) == i
            named = {x.label for x in term.children if isinstance(x, Value)}
            fits &= len(named) == i and not named.intersection(labels[i - 1 : i])
    if not fits:
        raise ArchitectureError(
            f"{space.name} is no space of layers that skip what they read", code="E312",
            hint="this notation belongs to `enas_macro`; layers of `macro` may join what they read",
        )  # fmt: skip
    return rows
