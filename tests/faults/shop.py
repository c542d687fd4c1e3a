"""Make runs in children of one process, each with one fault at one call to the system.

Everything is imported once; a child is a fork, so that a run of a dozen trials takes hundredths of
a second. Reads a line of JSON for each run and answers with one: python shop.py under the shim.
"""

import ctypes
import json
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

from fakes import FakeEvaluator, FakeSearcher

from epnas_dsl.config import Config, override
from epnas_dsl.errors import EpnasError
from epnas_dsl.runs.executor import SerialExecutor
from epnas_dsl.runs.runner import Silence, run
from epnas_dsl.runs.store import Store, create

MODES = ("nothing", "before", "half", "after", "once", "ever")
EARNEST = [
    "space=micro(blocks=2, channels=4, repeats=1)",
    "search.kept=1",
    "search.first_level_limit=1",
    "search.iterations=1",
    "training.epochs=1",
    "training.threads=1",
    "training.device=cpu",
    "evaluation.final_epochs=1",
    "surrogate.epochs=2",
    "data.limit=60",
]
STEPS, KEPT, FAILING = 3, 4, frozenset({0, 5})  # trials


class Notes(Silence):
    """Keeps what a person should read, and marks each trial that is recorded."""

    def __init__(self, mark) -> None:
        self.notes, self.mark = [], mark

    def ended(self, trial, progress) -> None:
        self.mark(trial.number + 1)

    def note(self, text) -> None:
        self.notes.append(text)
        if epoch := re.match(r"final training, epoch (\d+)", text):
            self.mark(1000 + int(epoch[1]))


def work(folder: Path, order: dict, watcher: Notes) -> None:
    """Make a run, or go on with it."""
    if (folder / "run.db").exists():
        store = Store(folder, writing=True)
    else:
        store = create(folder, Config(), "space fake()")
    seconds, noise = order.get("seconds", 0.0), order.get("noise", False)
    executor = SerialExecutor(lambda: FakeEvaluator(seconds, FAILING, noise))
    with store:
        watcher.mark(0)
        run(FakeSearcher(STEPS, KEPT), executor, store, watcher)


def work_in_earnest(folder: Path, settings: list[str], watcher: Notes) -> None:
    """The same with networks, shared weights, a final training, pictures and a report."""
    from epnas_dsl import experiment

    if (folder / "run.db").exists():
        experiment.resume(folder, watcher)
    else:
        experiment.run(override(Config(), [*EARNEST, *settings]), folder, watcher)


def child(order: dict, answer: int) -> None:
    """What happens in a fork: the fault is set up, the run made, the end told."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    watcher = Notes(lambda number: None)
    told = {"status": 0, "codes": [], "text": "", "notes": watcher.notes}
    if "journal" in order:
        shim.keep(order["journal"].encode())
        watcher.mark = shim.mark
    shim.arm(MODES.index(order.get("mode", "nothing")), order.get("at", 0), order.get("errno", 0))
    try:
        if order.get("earnest"):
            work_in_earnest(Path(order["folder"]), order.get("settings", []), watcher)
        else:
            work(Path(order["folder"]), order, watcher)
    except EpnasError as error:
        from epnas_dsl.cli import _status

        codes = [finding.code for finding in error.diagnostics]
        told |= {"status": _status(error), "codes": codes, "text": str(error)}
    except BaseException:
        told |= {"status": 70, "text": traceback.format_exc()}
    told["calls"] = shim.disarm()
    os.write(answer, json.dumps(told).encode())
    os._exit(0)


def warm_up() -> None:
    """Load what networks take, once for all forks; with one thread, which a fork survives."""
    import torch

    import epnas_dsl.nn.evaluators
    import epnas_dsl.nn.predictor
    import epnas_dsl.runs.report
    import epnas_dsl.space.drawing  # noqa: F401

    torch.set_num_threads(1)


def start(order: dict) -> tuple[int, int]:
    """A run in a fork; its number, and the pipe on which it tells its end."""
    reader, writer = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(reader)
        child(order, writer)
    os.close(writer)
    return number, reader


def end(number: int, reader: int) -> dict:
    """What a run told; one that was killed told nothing, and has a negative status."""
    with open(reader, "rb") as file:
        told = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    answer = json.loads(told) if told else {"status": status, "codes": [], "text": ""}
    return {**answer, "pid": number}


def carry_out(order: dict) -> list[dict]:
    """One run, or several side by side."""
    if order.get("earnest"):
        warm_up()
    started = [start(order) for _ in range(order.get("times", 1))]
    if "kill" in order:
        time.sleep(order["kill"])
        os.kill(started[0][0], signal.SIGKILL)
    return [end(*one) for one in started]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)
