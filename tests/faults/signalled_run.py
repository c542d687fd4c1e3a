"""A run in a process of its own, made to be signalled: python signalled_run.py FOLDER SECONDS.

A trial takes so many seconds times its number.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from fakes import FakeEvaluator, FakeSearcher

from epnas_dsl.config import Config
from epnas_dsl.runs.executor import SerialExecutor
from epnas_dsl.runs.runner import Silence, Stopped, run
from epnas_dsl.runs.store import Store, create


class Aloud(Silence):
    """Says what a parent waits for."""

    def began(self, number, architecture, progress):
        print("began", number, flush=True)

    def note(self, text):
        print(text, flush=True)


class Slower(FakeEvaluator):
    """Takes longer from trial to trial."""

    def __init__(self, step):
        super().__init__(failing={3, 11})
        self.step = step

    def evaluate(self, architecture, number):
        time.sleep(self.step * number)
        return super().evaluate(architecture, number)


def main(folder: Path, seconds: float) -> int:
    fresh = not (folder / "run.db").exists()
    store = create(folder, Config(), "space fake()") if fresh else Store(folder, writing=True)
    executor = SerialExecutor(lambda: Slower(seconds))
    with store:
        try:
            run(FakeSearcher(steps=4, kept=6), executor, store, Aloud())
        except Stopped as stopped:
            return stopped.signal + 100 * stopped.at_once
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
