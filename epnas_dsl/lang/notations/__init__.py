"""Turn the notations of other projects into architectures and back.

A reader makes nodes of its text, each with its place in it, and `from_nodes` finds the architecture
that has such a graph; a writer reads the graph. So a notation serves every space whose graphs it
can say. Each is a pair of functions in a file of its kind; `NOTATIONS` is the table of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from epnas_dsl.errors import EpnasError, Source
from epnas_dsl.lang.literals import wrong
from epnas_dsl.lang.notations.enas import (
    print_enas_macro,
    print_enas_micro,
    read_enas_macro,
    read_enas_micro,
)
from epnas_dsl.lang.notations.genotypes import print_darts, print_nasnet, read_darts, read_nasnet
from epnas_dsl.lang.notations.nasbench import (
    print_nasbench101,
    print_nasbench201,
    read_nasbench101,
    read_nasbench201,
)
from epnas_dsl.lang.notations.nni import print_nni, read_nni
from epnas_dsl.lang.notations.own import print_json, read_epnas, read_json, to_json
from epnas_dsl.space.architecture import Architecture
from epnas_dsl.space.search_space import SearchSpace

__all__ = [
    "NOTATIONS",
    "Notation",
    "from_notation",
    "print_nasbench201",
    "read_nasbench201",
    "to_json",
    "to_notation",
]


@dataclass(frozen=True, slots=True)
class Notation:
    """A way to write architectures down.

    Attributes:
        about: whose it is.
        sample: what it looks like.
        read: the architecture of a text, in a space or in the one that the text speaks of.
        write: the text of an architecture.
    """

    about: str
    sample: str
    read: Callable[[Source, SearchSpace | None], Architecture]
    write: Callable[[Architecture], str]


def from_notation(
    text: str, notation: str, space: SearchSpace | None = None, name: str = "<text>"
) -> Architecture:
    """The architecture that a text of another project describes.

    Args:
        notation: one of `NOTATIONS`.
        space: the space that it is looked for in; by default the one that the notation belongs to.
        name: what to call the text in messages.

    Raises:
        ArchitectureError: the text is none of this notation (E309), or of another space.
        KeyError: there is no such notation.
    """
    try:
        return NOTATIONS[notation].read(Source(name, text), space)
    except EpnasError as error:
        first = error.diagnostics[0]
        if first.code == "E309" and not first.hint:
            sample = f"{notation} looks like `{NOTATIONS[notation].sample}`"
            raise wrong(first.message, first.span, sample) from None
        raise


def to_notation(architecture: Architecture, notation: str) -> str:
    """The text of an architecture in the notation of another project: the inverse.

    Raises:
        ArchitectureError: the notation cannot say it (E311, E312, E315).
    """
    return NOTATIONS[notation].write(architecture)


NOTATIONS = {
    "epnas": Notation("our own text", "micro: h1 = ..", read_epnas, str),
    "json": Notation(
        "our own, as data", '{"schema": 1, "space": "micro", "choices": [..]}', read_json,
        print_json,
    ),
    "darts": Notation(
        "genotypes of DARTS, PNASNet, NASNet in Python",
        "Genotype(normal=[('op', 0), ('op', 1), ..], normal_concat=[2, ..], reduce=[..], ..)",
        read_darts, print_darts,
    ),
    "nasnet": Notation(
        "NASNet and AmoebaNet in TensorFlow",
        "normal_cell_operations=['separable_5x5_2', ..], normal_cell_hiddenstate_indices=[..], ..",
        read_nasnet, print_nasnet,
    ),
    "enas_micro": Notation("cells of ENAS", "0 2 0 0 0 4 0 1 ..", read_enas_micro,
                           print_enas_micro),
    "enas_macro": Notation("layers of ENAS", "0 3 0 0 1 0 ..", read_enas_macro, print_enas_macro),
    "nasbench101": Notation(
        "NAS-Bench-101",
        "ModelSpec(matrix=[[0, 1, ..], ..], ops=['input', 'conv3x3-bn-relu', .., 'output'])",
        read_nasbench101,
        print_nasbench101,
    ),
    "nasbench201": Notation("NAS-Bench-201", "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|",
                            read_nasbench201, print_nasbench201),
    "nni": Notation("what NNI exports", '{"normal/op_2_0": "op", "normal/input_2_0": [0], ..}',
                    read_nni, print_nni),
}  # fmt: skip
