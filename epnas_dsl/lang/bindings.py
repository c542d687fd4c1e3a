"""What the names of a space mean while it is read, and how a mistake with them is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NoReturn

from epnas_dsl.errors import EpnasError, LimitError, SpaceNameError, SpaceValueError, Span
from epnas_dsl.lang import syntax
from epnas_dsl.space.terms import Term, Value

KINDS = {"operation": "an operation", "number": "a number", "value": "a value"}


@dataclass
class Bound:
    """A name that stands for a term; `level` is the first at which it is there."""

    term: Term
    level: int = 0
    poisoned: bool = False
    read: bool = False
    span: Span | None = None


@dataclass
class ArrayBinding:
    """A name with indices: `h[1]`, `h[2]`."""

    name: str
    elements: dict[int, Bound] = field(default_factory=dict)
    poisoned: bool = False
    read: bool = False
    span: Span | None = None


@dataclass
class ProductionBinding:
    """`name := ..` and the names around it."""

    node: syntax.Production
    env: Env


@dataclass
class FunctionBinding:
    """`def name(..) { .. }`"""

    node: syntax.Function
    env: Env


@dataclass
class CellBinding:
    """A cell's name."""

    name: str
    stride: int
    inputs: int


Binding = Bound | ArrayBinding | ProductionBinding | FunctionBinding | CellBinding


@dataclass
class Env:
    """What names mean here; what is not found is looked for outside."""

    outer: Env | None
    names: dict[str, Binding] = field(default_factory=dict)

    def find(self, name: str) -> Binding | None:
        """The meaning of a name."""
        env: Env | None = self
        while env:
            if name in env.names:
                return env.names[name]
            env = env.outer
        return None

    def known(self) -> list[str]:
        """All names."""
        return [*self.names, *(self.outer.known() if self.outer else [])]


class Reported(EpnasError):
    """Something that depends on a mistake that was reported already."""

    def __init__(self) -> None:
        super().__init__("")
        self.diagnostics = ()


def fail(code: str, message: str, span: Span | None, hint: str = "") -> NoReturn:
    """Raise the error of a code."""
    raise mistake(code, message, span, hint)


def mistake(code: str, message: str, span: Span | None, hint: str = "") -> EpnasError:
    """The error of a code: E1.. are those of names, E9.. of limits, others of values and kinds."""
    kinds = {"E1": SpaceNameError, "E9": LimitError}
    return kinds.get(code[:2], SpaceValueError)(message, code=code, span=span, hint=hint)


def always_there(term: Term, span: Span | None) -> None:
    """Refuse a value that architectures of fewer levels lack; a join leaves such out."""
    if isinstance(term, Value) and term.optional:
        fail("E226", f"`{term.label}` exists only from a later level on", span,
             "`for` instead of `level` has it there at once; else only a sum or `concat(..)` of "
             "all leaves it out")  # fmt: skip


def locate(error: EpnasError, span: Span | None) -> None:
    """Give an error without a place the place at hand."""
    error.diagnostics = tuple(d if d.span else replace(d, span=span) for d in error.diagnostics)


def kept(error: EpnasError, span: Span | None) -> EpnasError:
    """The error, with a place, and without the frames that it would hold as long as it is kept."""
    locate(error, span)
    return error.with_traceback(None)


def listed(binding: ArrayBinding) -> str:
    """The elements there are, the middle ones left out where there are many."""
    names = [f"{binding.name}[{i}]" for i in sorted(binding.elements)]
    return ", ".join(names if len(names) < 6 else [*names[:2], "..", names[-1]]) or "none"


def quoted(names: Iterable[str]) -> str:
    """`a` and `b`"""
    return " and ".join(f"`{n}`" for n in names)


def counted(n: int, what: str) -> str:
    """1 value, 2 values, no values"""
    return f"{n or 'no'} {what}{'' if n == 1 else 's'}"
