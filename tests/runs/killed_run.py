"""A run in a process of its own, made to be killed: python killed_run.py FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fakes import FakeEvaluator, FakeSearcher

from epnas_dsl.config import Config
from epnas_dsl.runs.executor import SerialExecutor
from epnas_dsl.runs.runner import Stopped, run
from epnas_dsl.runs.store import Store, create


def main(folder: Path, seconds: float) -> int:
    print("ready", flush=True)
    if (folder / "run.db").exists():
        store = Store(folder, writing=True)
    else:
        store = create(folder, Config(), "space fake()")
    executor = SerialExecutor(lambda: FakeEvaluator(seconds, failing={3, 11}))
    with store:
        try:
            run(FakeSearcher(steps=8, kept=6), executor, store)
        except Stopped as stopped:
            return stopped.signal
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
