"""The public names, for type checkers; `__init__.py` loads them late."""

from epnas_dsl.config import Config as Config
from epnas_dsl.config import load_config as load_config
from epnas_dsl.errors import EpnasError as EpnasError
from epnas_dsl.experiment import load_model as load_model
from epnas_dsl.experiment import resume as resume
from epnas_dsl.experiment import run as run
from epnas_dsl.experiment import train as train
from epnas_dsl.lang.loading import load_architecture as load_architecture
from epnas_dsl.lang.loading import load_space as load_space
from epnas_dsl.lang.loading import read_space as read_space
from epnas_dsl.nn.network import build_network as build_network
from epnas_dsl.nn.supernet import Supernet as Supernet
from epnas_dsl.space.architecture import Architecture as Architecture
from epnas_dsl.space.counting import count_raw as count_raw
from epnas_dsl.space.counting import count_unique as count_unique
from epnas_dsl.space.counting import count_unordered as count_unordered
from epnas_dsl.space.drawing import draw_cell as draw_cell
from epnas_dsl.space.drawing import draw_network as draw_network
from epnas_dsl.space.drawing import draw_space as draw_space
from epnas_dsl.space.drawing import render as render
from epnas_dsl.space.expansion import sample as sample
from epnas_dsl.space.graph import to_graph as to_graph
from epnas_dsl.space.graph import to_layers as to_layers
from epnas_dsl.space.graph import to_network as to_network
from epnas_dsl.space.search_space import SearchSpace as SearchSpace
from epnas_dsl.space.shapes import costs as costs
from epnas_dsl.space.tokens import from_tokens as from_tokens
from epnas_dsl.space.tokens import to_tokens as to_tokens

__all__: list[str]
