"""Turn the events of a run into lines: a bar in a terminal, dated lines elsewhere.

The two classes meet the protocol `Watcher` of the runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from epnas_dsl.cli.terminal import log, note, percent
from epnas_dsl.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


def watcher() -> Lines:
    """What suits the standard error of this process."""
    return Live() if sys.stderr.isatty() else Lines()


class Lines:
    """A line for each trial."""

    def __init__(self) -> None:
        self.best = -1.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def resumed(self, trials: list[Any], progress: Any) -> None:
        """So many trials are there already."""
        self.best = max([self.best, *(trial.accuracy for trial in trials)])
        self.note(f"{len(trials)} trials were recorded; going on from there")

    def began(self, number: int, architecture: object, progress: Any) -> None:
        """Nothing: a line comes when it ends."""

    def ended(self, trial: Any, progress: Any) -> None:
        """One line."""
        self.best = max(self.best, trial.accuracy)
        done = f"trial {trial.number + 1}/{max(progress.total, trial.number + 1)}"
        result = percent(trial.accuracy) if trial.metrics else f"{trial.state}: {trial.message}"
        best = f"best {percent(self.best)}" if self.best >= 0 else "none succeeded yet"
        log(f"{done}  level {trial.level}  {result}  {best}  {trial.seconds:.1f} s  {trial.id}")

    def note(self, text: str) -> None:
        """A dated line."""
        log(text)


class Live(Lines):
    """A bar with the time left; a line of its own for each new best, and for each failure."""

    def __enter__(self) -> Lines:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        columns = TextColumn("{task.description}", markup=False), BarColumn(None)
        self.bar: Bar = Progress(
            *columns, MofNCompleteColumn(), TimeLeft(), console=Console(stderr=True), expand=True
        )
        self.task = self.bar.add_task("beginning", total=None)
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def began(self, number: int, architecture: object, progress: Any) -> None:
        """Where the search stands."""
        words = [f"iteration {progress.iteration}", f"level {progress.level}", progress.note]
        words += [f"best {percent(self.best)}"] if self.best >= 0 else []
        self.bar.update(
            self.task, description=", ".join(w for w in words if w), completed=number,
            total=max(progress.total, number + 1),
        )  # fmt: skip

    def ended(self, trial: Any, progress: Any) -> None:
        """A longer bar."""
        if not trial.metrics:
            self.note(f"trial {trial.number} {trial.state}: {trial.message}")
        elif trial.accuracy > self.best:
            self.note(f"{percent(trial.accuracy)}  {trial.architecture}")
        self.best = max(self.best, trial.accuracy)
        self.bar.update(self.task, completed=trial.number + 1)

    def note(self, text: str) -> None:
        """A line above the bar."""
        if hasattr(self, "bar"):
            self.bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            note(text)
