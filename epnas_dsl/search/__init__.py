"""Choice: searchers that propose architectures from what they were told."""

from epnas_dsl.search.ensemble import Ensemble
from epnas_dsl.search.epnas import EpnasSearcher, planned_trials
from epnas_dsl.search.evolution import EvolutionSearcher
from epnas_dsl.search.local_search import LocalSearcher
from epnas_dsl.search.pnas import PnasSearcher
from epnas_dsl.search.q_learning import QLearningSearcher
from epnas_dsl.search.random_arm import RandomArm, usual_arm, without_arm
from epnas_dsl.search.random_search import RandomSearcher
from epnas_dsl.search.reinforce import ReinforceSearcher
from epnas_dsl.search.searcher import Searcher

__all__ = [
    "Ensemble",
    "EpnasSearcher",
    "EvolutionSearcher",
    "LocalSearcher",
    "PnasSearcher",
    "QLearningSearcher",
    "RandomArm",
    "RandomSearcher",
    "ReinforceSearcher",
    "Searcher",
    "planned_trials",
    "usual_arm",
    "without_arm",
]
