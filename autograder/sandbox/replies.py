"""The trusted side's schemas for what a worker replies. Anything else is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=200)]
Size = Annotated[int, Field(ge=0, le=10**9)]
Plain = None | bool | int | float | Annotated[str, Field(max_length=100)]
Value = Plain | Annotated[list[Plain], Field(max_length=8)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ErrorReply(_Strict):
    """An exception of the student's code, or something that it lacks."""

    type: Text
    message: Annotated[str, Field(max_length=5000)]
    file: Text | None
    line: Size | None


class LayerReply(_Strict):
    """One layer of an nn.Sequential, as it is claimed to be."""

    kind: Text
    path: Text
    known: bool
    arguments: Annotated[dict[Text, Value], Field(max_length=16)]
    same_as: Size | None


class SettingsReply(_Strict):
    """A Training(...) object, as it is claimed to be."""

    learning_rate: Value
    batch_size: Value
    epochs: Value
    schedule: Value
    weight_decay: Value
    layer_weight_decay: Annotated[dict[Text, Value], Field(max_length=500)]


class ModelReply(_Strict):
    """Reply to `describe_model`."""

    layers: Annotated[list[LayerReply], Field(max_length=500)]
    settings: SettingsReply | None
    settings_problem: Text | None


class ParameterReply(_Strict):
    """A parameter's name and shape."""

    name: Text
    shape: Annotated[list[Size], Field(max_length=8)]


class PartReply(_Strict):
    """A sub-module: where it is, its class, and the p of a Dropout."""

    path: Text
    kind: Text
    from_torch: bool
    p: Value


class ModuleReply(_Strict):
    """Reply to `construct`."""

    handle: Size
    parameters: Annotated[list[ParameterReply], Field(max_length=1000)]
    modules: Annotated[list[PartReply], Field(max_length=1000)]


class OutputsReply(_Strict):
    """Reply to `run`: how many tensors forward returned, and what it called of what it may not."""

    outputs: Annotated[int, Field(ge=1, le=4)]
    called: Annotated[list[Text], Field(max_length=20)]


class PreflightReply(_Strict):
    """Reply to `preflight`: each attempt, and whether it worked."""

    worked: Annotated[dict[Text, bool], Field(max_length=50)]


class EmptyReply(_Strict):
    """A reply that is all in its tensors."""
