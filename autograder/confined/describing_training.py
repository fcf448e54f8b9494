"""Runs confined: how a network of the submission's is to be trained, and how its layers begin."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .describing import Refusal, attribute, plain

NEEDED = ("learning_rate", "batch_size", "epochs", "schedule", "weight_decay")
CHOSEN = ("optimizer", "momentum", "nesterov", "betas", "alpha", "eps", "init")
MOST_RATES = 1000  # of epochs
MOST_UNKNOWN = 8
MOST_TEXT = 100  # characters
# Of so many numbers between -b and b at least one is beyond 0.9 b, but for a chance of 1e-9.
ENOUGH_NUMBERS = 200
NEARLY_ALL = 0.9
ROUNDING = 1e-6


def describe_settings(module: Any, name: str, file: str) -> dict[str, Any]:
    """The fields of a Training(...) object, as plain values, and what else it was called with."""
    settings = attribute(module, name, file)
    missing = [field for field in NEEDED if not hasattr(settings, field)]
    if missing:
        raise Refusal(f"{name} is not a Training(...): it has no {missing[0]}", file)
    result = {field: brief(getattr(settings, field, None)) for field in (*NEEDED, *CHOSEN)}
    if isinstance(settings.schedule, (tuple, list)):
        result["schedule"] = [brief(rate) for rate in settings.schedule[:MOST_RATES]]
    decay = getattr(settings, "layer_weight_decay", {})
    if not isinstance(decay, dict):
        raise Refusal(f"{name}.layer_weight_decay is not a dictionary", file)
    result["layer_weight_decay"] = {brief(str(layer)): brief(one) for layer, one in decay.items()}
    unknown = getattr(settings, "unknown", ())
    result["unknown"] = [brief(str(one)) for one in list(unknown)[:MOST_UNKNOWN]]
    return result


def brief(value: Any) -> Any:
    """A value as JSON has it, a long text cut off."""
    value = plain(value)
    return value[:MOST_TEXT] if isinstance(value, str) else value


def begins_as_usual(layer: nn.Module) -> bool:
    """Whether a layer's weights can be those that torch draws where nobody sets them.

    A Linear or Conv2d with n inputs to each output begins with numbers drawn evenly between
    -1/√n and 1/√n, weights and biases alike. What can't be read counts as usual.
    Source: `reset_parameters` of torch.nn.Linear and torch.nn.Conv2d, torch 2.13.
    """
    if not isinstance(layer, (nn.Linear, nn.Conv2d)):
        return True
    try:
        return drawn_evenly(layer.weight.detach(), layer.bias)
    except Exception:  # noqa: BLE001  a submission's layer: its weight may be anything
        return True


def drawn_evenly(weight: Tensor, bias: Tensor | None) -> bool:
    """Whether weight and bias fill what torch draws them from; few numbers needn't fill it."""
    bound = weight[0].numel() ** -0.5
    if bias is not None and not (within(bias.detach(), bound) and bool(bias.any())):
        return False
    enough = weight.numel() >= ENOUGH_NUMBERS
    return within(weight, bound) and not (enough and within(weight, NEARLY_ALL * bound))


def within(numbers: Tensor, bound: float) -> bool:
    """Whether no number is further from zero."""
    return bool(numbers.abs().max() <= bound * (1 + ROUNDING))
