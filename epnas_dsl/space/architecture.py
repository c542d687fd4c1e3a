"""One choice for each decision of a space, up to some level; its text is the genotype."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from epnas_dsl.errors import ArchitectureError
from epnas_dsl.space.search_space import SearchSpace


class Architecture:
    """A member of a space: immutable, hashable, equal to another of the same space and choices.

    Operands of `+` that commute are put in order, so that two ways to write the same sum are one
    architecture.

    Args:
        space: the family that it belongs to.
        choices: a number for each of the space's decisions, in order, complete up to some level.

    Raises:
        ArchitectureError: too few, too many, or out of a decision's range.
    """

    __slots__ = ("__dict__", "choices", "level", "space")

    def __init__(self, space: SearchSpace, choices: Sequence[int]) -> None:
        self.space = space
        self.level = _level(space, len(choices))
        numbers = tuple(map(int, choices))
        for decision, number in zip(space.decisions, numbers, strict=False):
            if not 0 <= number < decision.size:
                raise ArchitectureError(
                    f"{decision.name} is chosen from {decision.size} options; there is no {number}",
                    code="E301",
                )
        self.choices = space.normalise(numbers)

    @classmethod
    def normal(cls, space: SearchSpace, choices: tuple[int, ...]) -> Architecture:
        """One whose choices are known to be in range and in order."""
        made = cls.__new__(cls)
        made.space, made.choices, made.level = space, choices, _level(space, len(choices))
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return (
            self.choices == other.choices
            and self.level == other.level
            and self.space.digest == other.space.digest
        )

    def __hash__(self) -> int:
        return hash((self.space.digest, self.choices))

    def __repr__(self) -> str:
        return f"Architecture({str(self)!r})"

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[object, ...]:
        return Architecture, (self.space, self.choices)

    @cached_property
    def text(self) -> str:
        """The canonical text, on one line: equal architectures have equal texts."""
        from epnas_dsl.space.genotype import print_architecture

        return print_architecture(self)

    @cached_property
    def id(self) -> str:
        """A short hash of the text: 8 hexadecimal digits."""
        return hashlib.blake2b(self.text.encode(), digest_size=4).hexdigest()

    @cached_property
    def key(self) -> str:
        """The canonical key: the same for architectures equal under the space's equivalence."""
        from epnas_dsl.space.canonical import canonical_key

        return canonical_key(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from epnas_dsl.space.drawing import mimebundle

        return dict(mimebundle(self))

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The choices, level by level."""
        ends = self.space.widths
        return tuple(self.choices[ends[i] : ends[i + 1]] for i in range(self.level))

    def at(self, level: int) -> Architecture:
        """The architecture of a lower level that this one grew from."""
        return Architecture(self.space, self.choices[: self.space.widths[level]])


def _level(space: SearchSpace, length: int) -> int:
    """The highest level that so many choices complete."""
    for level in range(space.depth, 0, -1):
        if space.widths[level] == length:
            return level
    raise ArchitectureError(
        f"{length} choices do not fill a level of {space.name}; its levels end after "
        + ", ".join(map(str, space.widths[1:])),
        code="E302",
    )
