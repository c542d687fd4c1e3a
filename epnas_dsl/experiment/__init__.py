"""Puts spaces, networks, searchers and runs together: the only part that knows them all.

Torch is loaded where it is needed, not before.
"""

from epnas_dsl.experiment.assembly import plan
from epnas_dsl.experiment.comparing import carry_out, compared, planned_runs
from epnas_dsl.experiment.networks import device, evaluate, export, launch, load_model, train
from epnas_dsl.experiment.records import (
    best_run,
    image_of,
    recorded,
    report,
    run_config,
    runs_of,
    status,
    trials,
)
from epnas_dsl.experiment.searching import resume, run
from epnas_dsl.experiment.several import folders, is_several
from epnas_dsl.runs.selection import front

__all__ = [
    "best_run",
    "carry_out",
    "compared",
    "device",
    "evaluate",
    "export",
    "folders",
    "front",
    "image_of",
    "is_several",
    "launch",
    "load_model",
    "plan",
    "planned_runs",
    "recorded",
    "report",
    "resume",
    "run",
    "run_config",
    "runs_of",
    "status",
    "train",
    "trials",
]
