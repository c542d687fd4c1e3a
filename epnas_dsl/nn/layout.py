"""Turn a line of Python that is too long into several, as `ruff format` would."""

from __future__ import annotations

import re

WIDTH = 100
WORDS = (r" (?=for )", r" (?=if |else )", r" (?=or )", r" (?=\+ )")  # the loosest first
_PAIRS = {")": "(", "]": "[", "}": "{"}


def lay_out(line: str, indent: str) -> list[str]:
    """One logical line: an assignment, a `return`, a `def`, or an element of a list."""
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    found = re.match(r"return |(\*|[\w.]+)( = |=)(?=\S)", line)
    head = found.group() if found else ""
    body = line[len(head) :]
    comma = "," if body.endswith(",") else ""
    body = body.removesuffix(",")
    if any(_split(body, words)[1:] for words in WORDS):
        return [f"{indent}{head}(", *_inner(body, f"{indent}    "), f"{indent}){comma}"]
    if len(_split(body, r"\)\.")) > 2 and len(indent) + 4 + len(body) <= WIDTH:
        return [f"{indent}{head}(", f"{indent}    {body}", f"{indent}){comma}"]
    start, inside, end = _brackets(line)
    if not inside:
        return [indent + line]
    return [indent + start, *_inner(inside, f"{indent}    "), indent + end]


def _inner(inside: str, indent: str) -> list[str]:
    """What stands in brackets: on one line, or one line for each part."""
    if len(indent) + len(inside) <= WIDTH:
        return [indent + inside]
    parts = _split(inside, r",(?: |$)")
    if len(parts) > 1:
        return [x for part in parts for x in lay_out(f"{part},", indent)]
    for words in WORDS:
        parts = _split(inside, words)
        if len(parts) > 1:
            return [x for part in parts for x in lay_out(part, indent)]
    return lay_out(inside, indent)


def has_sum(text: str) -> bool:
    """Whether the text is a sum, outside of brackets."""
    return len(_split(text, r" \+ ")) > 1


def _depths(text: str) -> list[int]:
    """How many brackets are open before each character."""
    depths, depth = [], 0
    for c in text:
        depth -= c in _PAIRS
        depths.append(depth)
        depth += c in _PAIRS.values()
    return depths


def _split(text: str, pattern: str) -> list[str]:
    """The text, split where the pattern is found outside of brackets."""
    depths = _depths(text)
    parts, start = [], 0
    for found in re.finditer(pattern, text):
        if depths[found.start()] == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def _brackets(line: str) -> tuple[str, str, str]:
    """The line up to its last outer bracket, what stands in that, and the rest."""
    depths = _depths(line)
    close = max((i for i, c in enumerate(line) if c in _PAIRS and depths[i] == 0), default=-1)
    if close < 0:
        return line, "", ""
    start = max(i for i in range(close) if depths[i] == 0 and line[i] in _PAIRS.values())
    return line[: start + 1], line[start + 1 : close], line[close:]
