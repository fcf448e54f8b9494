"""The sentences in which a worker says that something is missing or of the wrong kind.

A worker's word for it is a claim like any other: student code can say whatever it likes. So
one of these sentences, with nothing but names in its gaps, is told as ours; any other text
is quoted as what the code said.
"""

from __future__ import annotations

import re

from .text import MOST_NAME

SENTENCES = (
    "{}.py was not submitted",
    "{} defines no {}",
    "the nn.Sequential is nested too deeply",
    "the model has more than {} layers",
    "{} is not a Training(...): it has no {}",
    "{}.layer_weight_decay is not a dictionary",
    "{}() returned {}, not an nn.Sequential",
    "{} is not an nn.Module",
    "{} has no method forward",
    "{} has no method forward, but one called {}",
    "forward returned {} where a tensor is expected",
    "forward returned a tensor without data where a plain one is expected",
    "forward returned a tensor of layout {} where a plain one is expected",
    "forward returned a tensor of dtype {}, expected real numbers",
    "the weights file lacks {}",
    "the weights file has unknown {}",
    "the encoder layer returns no attention weights",
)
MOST_MESSAGE = 600  # characters: the longest sentence with the longest names
_NAME = rf"[\w.\[\]<>-]{{1,{MOST_NAME}}}"
_GAP = rf"(?:an? |nothing \()?{_NAME}\)?(?:, {_NAME}){{0,2}}"
_SENTENCE = re.compile(
    "|".join(_GAP.join(map(re.escape, sentence.split("{}"))) for sentence in SENTENCES)
)


def is_ours(message: str) -> bool:
    """Whether a refusal is one of the sentences above, its gaps filled with names."""
    return len(message) <= MOST_MESSAGE and _SENTENCE.fullmatch(message) is not None
