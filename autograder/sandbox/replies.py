"""The trusted side's schemas for what a worker replies. Anything else is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .text import name, one_line

MOST_PARTS = 6  # of the place in a reply that is named
MOST_SAID = 300  # characters about what is wrong with it

Text = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(max_length=200), AfterValidator(name)]  # shown, never sent back
File = Annotated[str, Field(max_length=100, pattern=r"^[\w./-]+$")]
Size = Annotated[int, Field(ge=0, le=10**9)]
Plain = None | bool | int | float | Annotated[str, Field(max_length=100)]
Value = Plain | Annotated[list[Plain], Field(max_length=8)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ErrorReply(_Strict):
    """An exception of the student's code."""

    type: Annotated[str, Field(max_length=100, pattern=r"^\w+$")]
    message: Annotated[str, Field(max_length=5000)]
    file: File | None
    line: Size | None


class RefusalReply(_Strict):
    """Something that the student's code lacks, or that is of the wrong kind."""

    message: Annotated[str, Field(max_length=5000)]
    file: File | None


class LayerReply(_Strict):
    """One layer of an nn.Sequential, as it is claimed to be.

    parameters:  of a layer that can't be rebuilt, and so can't be counted here
    own_forward: it is an nn.Sequential that does something of its own with its layers
    """

    kind: Name
    path: Text
    known: bool
    arguments: Annotated[dict[Text, Value], Field(max_length=16)]
    same_as: Size | None
    parameters: Size = 0
    own_forward: bool = False


class SettingsReply(_Strict):
    """A Training(...) object, as it is claimed to be."""

    learning_rate: Value
    batch_size: Value
    epochs: Value
    schedule: Plain | Annotated[list[Plain], Field(max_length=1000)]
    weight_decay: Value
    layer_weight_decay: Annotated[dict[Text, Value], Field(max_length=500)]
    optimizer: Value
    momentum: Value
    nesterov: Value
    betas: Value
    alpha: Value
    eps: Value
    init: Value
    unknown: Annotated[list[Text], Field(max_length=8)]


class ModelReply(_Strict):
    """Reply to `describe_model`.

    lazy_problem: why some layers have no size, as torch or the student's code says it
    """

    layers: Annotated[list[LayerReply], Field(max_length=500)]
    own_weights: Annotated[list[Text], Field(max_length=500)]
    lazy_problem: Text = ""
    settings: SettingsReply | None
    settings_problem: Text | None


class ParameterReply(_Strict):
    """A parameter's name and shape."""

    name: Text
    shape: Annotated[list[Size], Field(max_length=8)]


class PartReply(_Strict):
    """A sub-module: where it is, its class, and the p of a Dropout."""

    path: Name
    kind: Name
    from_torch: bool
    p: Value


class ModuleReply(_Strict):
    """Reply to `construct`."""

    handle: Size
    parameters: Annotated[list[ParameterReply], Field(max_length=1000)]
    modules: Annotated[list[PartReply], Field(max_length=1000)]


class OutputsReply(_Strict):
    """Reply to `run`: how many tensors forward returned."""

    outputs: Annotated[int, Field(ge=1, le=4)]


class EventReply(_Strict):
    """A step of a forward pass: a parameter that was used, or numbers that were dropped.

    name: the parameter, or the path of the module that dropped
    p:    the share that it dropped, where it can be told
    """

    what: Literal["parameter", "dropout"]
    name: Name
    p: Annotated[float, Field(ge=0, le=1)] | None


class TraceReply(_Strict):
    """Reply to `trace`: the steps in order, and the paths of the modules that ran."""

    events: Annotated[list[EventReply], Field(max_length=1000)]
    modules: Annotated[list[Name], Field(max_length=1000)]


class PreflightReply(_Strict):
    """Reply to `preflight`: each attempt, and whether it worked."""

    worked: Annotated[dict[Text, bool], Field(max_length=50)]


class EmptyReply(_Strict):
    """A reply that is all in its tensors."""


def first_error(problem: ValidationError) -> str:
    """The first thing that is wrong with a reply, in a line."""
    first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(name(str(part)) for part in first["loc"][:MOST_PARTS])
    return one_line(f"{place}: {first['msg']}", MOST_SAID)
