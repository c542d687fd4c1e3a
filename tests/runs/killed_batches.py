"""A run in batches in a process of its own, made to be killed: python killed_batches.py FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fakes import FakeSearcher
from test_snapshot import Backwards, snapshots

from epnas_dsl.config import Config
from epnas_dsl.runs.runner import run
from epnas_dsl.runs.store import Store, create


def main(folder: Path) -> None:
    if (folder / "run.db").exists():
        store = Store(folder, writing=True)
    else:
        store = create(folder, Config(), "space fake()")
    seconds = dict.fromkeys(range(40), 0.004)
    print("ready", flush=True)
    with store:
        run(FakeSearcher(8, 5), snapshots(Backwards, failing={2, 11}, seconds=seconds), store)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
