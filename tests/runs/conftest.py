"""What the tests of the runs share."""

import sys
from pathlib import Path

import pytest

from epnas_dsl.config import Config
from epnas_dsl.runs.store import create

sys.path.insert(0, str(Path(__file__).parent))  # for fakes.py, here and in the processes started


@pytest.fixture
def store(tmp_path):
    with create(tmp_path / "run", Config(), "space fake()", {"blocks": 3}, "digest") as store:
        yield store
