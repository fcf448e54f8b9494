"""Whether a run of question 2 was made with models.py as it is now."""

from __future__ import annotations

from pathlib import Path

import yaml

from provided.artifacts import Run as Trained
from provided.conditions import Problem, attribute, student_module
from provided.ctrl_c import CtrlC
from provided.homework import CNN, FULLY_CONNECTED
from provided.layers import sized
from provided.settings import Training
from provided.settings_rules import as_graded, bounds_of
from provided.slots import place_of, still_to_write
from provided.writeup.problem import in_a_row
from provided.writeup.runs import Run

FREE = ("model", "seed", "images")  # of a run: not set in models.py


def difference(root: Path, run: Run) -> str:
    """What models.py now says otherwise than when the run was made; '' where nothing is."""
    network = next(one for one in (FULLY_CONNECTED, CNN) if one.kind == run.kind)
    if not (root / network.file).is_file():
        return ""
    place = run.folder.relative_to(root).as_posix()
    try:
        with CtrlC() as ctrl_c:
            models = student_module(network.file.removesuffix(".py"))
            model = sized(attribute(network.builder, models)())
            settings = attribute(network.settings, models)
    except BaseException as problem:
        if ctrl_c.pressed:
            raise
        if still_to_write(problem) is not None or isinstance(problem, Problem):
            return ""  # check.py says what is to be written; a notebook may hold it
        where = place_of(problem)
        return f"{network.file} can't be run{f' ({where})' if where else ''}: python check.py"
    if str(model) != run.architecture():
        return f"{network.builder} has changed since {place} was made: python train.py {run.kind}"
    if not isinstance(settings, Training):
        return ""
    changed = _settings_changed(settings, run)
    if changed:
        return (
            f"{network.settings} has changed since {place} was made ({in_a_row(changed)}): "
            f"python train.py {run.kind}"
        )
    return ""


def _settings_changed(settings: Training, run: Run) -> list[str]:
    try:
        settings, _ = as_graded(settings, bounds_of(run.kind))
        now = Trained(run.kind, 0, settings, 0).as_plain()
        now = yaml.safe_load(yaml.safe_dump(now))  # lists in the place of tuples
    except (TypeError, ValueError, AttributeError, yaml.YAMLError):
        return []  # settings that can't be trained with: check.py says so
    return [
        name.replace("_", " ")
        for name, value in now.items()
        if name not in FREE and name in run.content and run.content[name] != value
    ]
