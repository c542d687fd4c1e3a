"""Turn columns of numbers, a number for each use of a class, into expressions of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

WIDE = {"groups", "in_features", "out_features", "start", "stop"}  # numbers of channels
Value = int | float
Column = tuple[Value | None, ...]  # of a number, over the uses of a class; None where it is free


class Arguments:
    """The arguments of a class: turns columns of numbers into expressions of them."""

    def __init__(self, named: dict[str, Column]) -> None:
        self.named = named
        self.used: dict[str, Column] = {}

    def express(self, setting: str, column: Column, prefix: str) -> str:
        """The text of a setting: a number, or an expression of arguments."""
        values = {v for v in column if v is not None}
        known = {**self.named, **self.used}
        if len(values) == 1:
            value = values.pop()
            if None in column and is_width(setting):  # of one variant: a width that is right for it
                for name in sorted(filter(is_width, known), key=lambda n: n != setting):
                    if _full(column, known[name]) == known[name]:
                        self.used.setdefault(name, known[name])
                        return name
            return repr(value)
        for name, numbers in known.items():
            if _same(numbers, column):
                self.used[name] = _full(column, numbers)
                return name
        for name, numbers in known.items():
            if text := _derived(setting, name, numbers, column):
                self.used.setdefault(name, numbers)
                return text
        for (a, one), (b, two) in (
            (p, q) for p in known.items() for q in known.items() if len(values) > 2
        ):
            if text := _combined(a, one, b, two, column):
                self.used |= {a: one, b: two}
                return text
        wish = f"{prefix}{_plain(setting)}"
        if wish in self.named and _full(self.named[wish], column) == _full(column, column):
            self.used[wish] = column
            return wish
        names = (f"{wish}_{n}" if n > 1 else wish for n in count(1))
        name = next(n for n in names if n not in known)
        self.used[name] = column
        return name

    def condition(self, real: Sequence[bool], own: dict[str, Column]) -> str:
        """A test of the arguments that is true exactly where `real` is; empty if there is none.

        Args:
            own: numbers that may become arguments for its sake.
        """
        known = {n: c for n, c in {**self.used, **self.named, **own}.items() if None not in c}
        widths = sorted(filter(is_width, known), key=lambda n: not n.endswith("_channels"))
        pairs = [(a, b) for a in widths for b in widths if a != b]
        others = sorted({*known} - {*widths}, key=lambda n: (not n.endswith("stride"), n))
        unlike = [f"{a} != {b}" for a, b in pairs]
        steps = [f"{n} != 1" for n in others if n.endswith("stride")]
        tests = [*unlike, *(f"{a} or {b}" for a in unlike for b in steps), *steps]
        tests += [f"{n} == {v!r}" for n in others for v in dict.fromkeys(known[n])]
        tests += [f"{a} != {n} * {b}" for a, b in pairs for n in range(2, 9)]
        rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
        for test in tests:
            code = compile(test, "<test>", "eval")
            if all(eval(code, {}, row) == wanted for row, wanted in zip(rows, real, strict=True)):
                self.used |= {name: known[name] for name in code.co_names}
                return test
        return ""

    def ordered(self) -> dict[str, Column]:
        """The arguments: what is read, then the space's own, then the rest; strides last."""

        def rank(name: str) -> tuple[bool, int, int]:
            place = [*self.named].index(name) if name in self.named else len(self.named)
            width = -name.endswith("_channels") - is_width(name)
            return name.endswith("stride"), width, place

        return {name: self.used[name] for name in sorted(self.used, key=rank)}


def is_width(name: str) -> bool:
    """Whether an argument is a number of channels."""
    return "channels" in name or "width" in name


def _plain(setting: str) -> str:
    if setting.startswith(("kernel_", "pad_")):
        return {"kernel": "kernel_size", "pad": "padding"}[setting.partition("_")[0]]
    return setting


def _full(column: Column, other: Column) -> Column:
    """The column, what is free in it filled in from another."""
    return tuple(b if a is None else a for a, b in zip(column, other, strict=True))


def _same(numbers: Column, column: Column) -> bool:
    pairs = [pair for pair in zip(numbers, column, strict=True) if None not in pair]
    return len({b for _, b in pairs}) > 1 and all(a == b for a, b in pairs)


def _derived(setting: str, name: str, numbers: Column, column: Column) -> str:
    """A column as a multiple, a part or a neighbour of another."""
    pairs = [(a, b) for a, b in zip(numbers, column, strict=True) if b is not None]
    if any(a is None or not isinstance(a, int) or not isinstance(b, int) for a, b in pairs):
        return ""
    whole = [(int(a), int(b)) for a, b in pairs if a is not None]
    first, value = whole[0]
    if setting.startswith("pad_"):
        kernel = "kernel" in name and all(a // 2 == b for a, b in whole)
        return f"{name} // 2" if kernel else ""
    wide = "channels" in setting or setting in WIDE
    if setting in {"repeats", "step"} or is_width(name) != wide:
        near = value - first
        if setting == "repeats" and "channels" not in name and abs(near) == 1:
            return f"{name} - 1" if near < 0 and all(b == a - 1 for a, b in whole) else ""
        return ""
    if first and value % first == 0 and all(b == value // first * a for a, b in whole):
        return f"{value // first} * {name}"
    if value and first % value == 0 and all(b == a // (first // value) for a, b in whole):
        return f"{name} // {first // value}"
    return ""


def _combined(a: str, one: Column, b: str, two: Column, column: Column) -> str:
    """A column as the product, the sum or the difference of two others."""
    rows = [r for r in zip(one, two, column, strict=True) if r[2] is not None]
    if any(x is None or y is None for x, y, _ in rows):
        return ""
    full = [(x, y, z) for x, y, z in rows if x is not None and y is not None and z is not None]
    if "kernel" in a and "dilation" in b and all(z == x // 2 * y for x, y, z in full):
        return f"{a} // 2 * {b}"
    if is_width(a) and a != b and all(z == x * y for x, y, z in full):
        return f"{a} * {b}"
    if is_width(a) and is_width(b) and all(z == x - y for x, y, z in full):
        return f"{a} - {b}"
    if is_width(a) and is_width(b) and a < b and all(z == x + y for x, y, z in full):
        return f"{a} + {b}"
    return ""
