"""What this homework's runs tell beside their rubric lines: a leaderboard, figures for staff."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from autograder.hw5.described import Model
from autograder.hw5.examination import Examination, Untrainable
from autograder.hw5.network_figures import network_figures
from autograder.hw5.probes import source_modules, source_rules
from autograder.hw5.probes.vit import Judgement
from autograder.hw5.versions import versions
from autograder.rubric.evidence import Kept
from autograder.rubric.feedback import counted, joined
from autograder.rubric.gradescope import LeaderboardEntry
from autograder.training.job import Ending, TrainingResult
from provided.homework import PARTS


def figures(examination: Examination) -> dict[str, Any]:
    """For staff, in extra_data: what a person grades, the seed, how the trainings went."""
    return {
        "for_a_person": {"1d": examination.answers.words, **_doubtful(examination)},
        "seed": examination.seed,
        "versions": _versions(),
        "made_with": examination.made_with,
        "networks": {
            "fc": _of_network(examination.fully_connected),
            "cnn": _of_network(examination.cnn),
        },
        "trainings": {
            "fc": _of_training(examination.fully_connected_training),
            "cnn": _of_training(examination.cnn_training),
        },
        "transformer": _of_transformer(examination),
        "carry_over": dict(examination.carry_over.entries),
    }


def notes(examination: Examination) -> list[str]:
    """For students, above the lines: what becomes of the answer that a person reads."""
    answers, points = examination.answers, int(PARTS["1d"].by_hand)
    asked = (
        f"1d is graded by hand ({counted(points, 'point')}): what you see in your pooled results, "
        "and why both kinds of pooling help with distorted, rotated or noisy pictures."
    )
    if not answers.words:
        said = f"{asked} You have not answered it yet: write a few sentences under q1d."
    else:
        words = len(answers.words.split())
        kept = f"Course staff read your {counted(words, 'word')} as you wrote them."
        said = " ".join(filter(None, (asked, kept, answers.slip)))
    return [said, *answers.askew]


def leaderboard(examination: Examination) -> list[LeaderboardEntry]:
    """Test accuracies, and the size of a convolutional network that meets its goal."""
    entries = []
    for name, training in (
        ("Fully connected: test accuracy", examination.fully_connected_training),
        ("CNN: test accuracy", examination.cnn_training),
    ):
        result = training.peek()
        if isinstance(result, TrainingResult):
            entries.append(LeaderboardEntry(name=name, value=round(result.best.best, 4)))
    cnn, trained = examination.cnn.peek(), examination.cnn_training.peek()
    if cnn is not None and isinstance(trained, TrainingResult) and trained.ended is Ending.REACHED:
        count = sum(number for _, number in cnn.layers.parameter_counts())
        entries.append(LeaderboardEntry(name="CNN: parameters", value=count, order="asc"))
    return entries


@cache  # results are saved after every line
def _versions() -> dict[str, str]:
    found = versions()
    return {name: found[name] for name in ("grader", "sources")}


def _of_network(network: Kept[Model]) -> dict[str, Any] | None:
    model = network.peek()
    return None if model is None else network_figures(model)


def _of_training(training: Kept[TrainingResult | Untrainable]) -> dict[str, Any] | None:
    result = training.peek()
    if result is None or isinstance(result, Untrainable):
        return None
    return {
        "ended": result.ended.value,
        "shortened": result.shortened,
        "carried_over": result.carried_over,
        "process": result.process,
        "trials": [
            {
                "seed": trial.seed,
                "epochs": len(trial.test_accuracy),
                "test_accuracy": trial.test_accuracy,
            }
            for trial in result.trials
        ],
    }


def _of_transformer(examination: Examination) -> dict[str, str]:
    """Whose numbers stand behind lines 3c.1 and 3c.2."""
    learned = examination.transformer_training.peek()
    judged = examination.transformer_weights.peek()
    by = {"3c.1": learned.by.value} if learned is not None else {}
    if isinstance(judged, Judgement):
        by["3c.2"] = judged.by.value
    return by


def _doubtful(examination: Examination) -> dict[str, str]:
    """Lines at which a person should look, and why."""
    found = {
        "3c.1": examination.transformer_training.peek(),
        "3c.2": examination.transformer_weights.peek(),
    }
    why = {line: one.for_a_person for line, one in found.items() if one is not None}
    why |= {
        "2b.3": _cut_off(examination.fully_connected_training),
        "2c.4": _cut_off(examination.cnn_training),
        "2b.2": _unseen(examination.fully_connected),
        "2c.3": _unseen(examination.cnn),
    }
    code = tuple(sorted(examination.submission.code.items()))
    return {line: reason for line, reason in (_unusual(code) | why).items() if reason}


def _cut_off(training: Kept[TrainingResult | Untrainable]) -> str:
    result = training.peek()
    if not isinstance(result, TrainingResult) or result.ended is not Ending.OUT_OF_TIME:
        return ""
    return (
        "the training was stopped because its time was up, after "
        f"{counted(len(result.best.epochs), 'epoch')}: run_autograder --unhurried trains it to the "
        "end"
    )


def _unseen(model: Kept[Model]) -> str:
    """Layers that the grader can't count in, with what the submission's code says of them."""
    described = model.peek()
    foreign = [one for one in described.layers.foreign if not one.is_lazy] if described else []
    if not foreign:
        return ""
    said = counted(sum(layer.parameters for layer in foreign), "parameter")
    return (
        f"the grader can't see into {joined(map(str, foreign))}; by the submission's own count, "
        f"which nothing proves, there are {said} in it"
    )


@lru_cache(maxsize=1)  # results are saved after every line
def _unusual(files: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What leaves the plain paths in the files behind a slot, without breaking a rule."""
    code = dict(files)
    found = {
        "3a.2": source_modules.search_head(code).doubts,
        "3b.4": source_modules.search_layer(code).doubts,
    }
    return {line: "; ".join(source_rules.lines_of(doubts)) for line, doubts in found.items()}
