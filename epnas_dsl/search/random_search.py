"""Turn a seed into architectures of full length, each as likely as any other."""

from __future__ import annotations

from epnas_dsl.config import SearchSettings
from epnas_dsl.search.proposals import Proposer
from epnas_dsl.space.search_space import SearchSpace


class RandomSearcher(Proposer):
    """Random search over architectures of full length, the comparison of every other searcher.

    None is asked for twice, whatever `retrain` says.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings) -> None:
        super().__init__(space, settings)
        self._retrain = False

    def _size(self, asked: int) -> int:
        return asked  # nothing is learned, so steps make no difference
