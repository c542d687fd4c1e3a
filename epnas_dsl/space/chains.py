"""Count the graphs of a chain, in which every statement reads the one before it and nothing else.

Such a graph is a word, of an input and the operations from there to the result, and an option is a
piece of it. The same word may be cut into pieces in several ways, above all where statements have
options of several lengths, or none at all. So the automaton that reads the pieces one after the
other is made deterministic, set of states by set of states, and the words that it takes are
counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from epnas_dsl.errors import CountError
from epnas_dsl.space.structures import Expression, Structure

MAX_STATES = 100_000

Word = tuple[str, ...]
State = frozenset[tuple[int, int]]  # (piece, place in it)


def read_words(structure: Structure) -> list[set[Word]] | None:
    """The words of each statement and of the result; None where the structure is no chain."""
    if structure.loose:
        return None
    pieces: list[set[Word]] = []
    for i, options in enumerate((*structure.options, structure.results[frozenset()])):
        words = [_word(e, i) for e in options]
        pieces.append({w for w in words if w is not None})
        if None in words:
            return None
    return pieces


def _word(e: Expression, i: int) -> Word | None:
    """The operations on the statement before number i, the first one first; an input begins it."""
    word: list[str] = []
    while e[0] != "@" and e[1]:
        if len(e[1]) > 1:
            return None
        word.append(e[0])
        (e,) = e[1]
    if i == 0 and e[0] != "@":
        return (e[0], *reversed(word))
    return tuple(reversed(word)) if e == ("@", i - 1) else None


def count_words(pieces: Sequence[set[Word]]) -> int:
    """How many different words are made of one word from each set, in order.

    Raises:
        CountError: the automaton is too large.
    """
    places: dict[frozenset[tuple[str, int]], int] = {}  # what may follow, as letter and place
    starts = [_place(words, places) for words in pieces]
    following = list(places)
    counts: dict[State, int] = {}

    def opened(state: Iterable[tuple[int, int]]) -> State:
        """With the beginnings of the pieces behind those that may end here."""
        waiting, found = list(state), set[tuple[int, int]]()
        while waiting:
            piece, place = waiting.pop()
            found.add((piece, place))
            if ("", 0) in following[place] and piece + 1 < len(pieces):
                waiting.append((piece + 1, starts[piece + 1]))
        return frozenset(found)

    first = opened([(0, starts[0])])
    waiting = [first]
    while waiting:
        state = waiting[-1]
        steps: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for piece, place in state:
            for letter, to in following[place]:
                if letter:
                    steps[letter].add((piece, to))
        after = [opened(to) for to in steps.values()]
        missing = [s for s in after if s not in counts]
        if missing:
            waiting += missing
            if len(waiting) + len(counts) > MAX_STATES:
                raise CountError("an automaton of too many states")
            continue
        ends = any(p == len(pieces) - 1 and ("", 0) in following[x] for p, x in state)
        counts[state] = ends + sum(counts[s] for s in after)
        waiting.pop()
    return counts[first]


def _place(words: Iterable[Word], places: dict[frozenset[tuple[str, int]], int]) -> int:
    """The number of the place from which just these words lead to an end."""
    by_letter: dict[str, set[Word]] = defaultdict(set)
    follow = set[tuple[str, int]]()
    for word in words:
        if word:
            by_letter[word[0]].add(word[1:])
        else:
            follow.add(("", 0))
    follow |= {(letter, _place(rest, places)) for letter, rest in by_letter.items()}
    return places.setdefault(frozenset(follow), len(places))
