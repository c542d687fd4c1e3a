"""Choice: searchers that propose architectures, level by level, from what they were told."""

from epnas_dsl.search.epnas import EpnasSearcher, planned_trials
from epnas_dsl.search.random_search import RandomSearcher
from epnas_dsl.search.searcher import Predictor, Progress, Searcher

__all__ = ["EpnasSearcher", "Predictor", "Progress", "RandomSearcher", "Searcher", "planned_trials"]
