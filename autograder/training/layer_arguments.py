"""The layers that can be rebuilt, and which arguments each may have.

What a worker claims of a layer is validated with these before torch makes one of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SIZE = 100_000  # inputs, outputs, channels
MAX_PARAMETERS = 5_000_000  # of a model

Size = Annotated[int, Field(ge=1, le=MAX_SIZE, strict=True)]
Window = Annotated[int, Field(ge=1, le=64)]
WindowPair = Window | tuple[Window, Window]
Padding = Annotated[int, Field(ge=0, le=64)]
PaddingPair = Padding | tuple[Padding, Padding]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Axis = Annotated[int, Field(ge=-4, le=4)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _None(_Arguments):
    pass


class _Linear(_Arguments):
    in_features: Size
    out_features: Size
    bias: bool


class _Conv2d(_Arguments):
    in_channels: Size
    out_channels: Size
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair | Literal["same", "valid"]
    dilation: WindowPair
    groups: Size
    bias: bool
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]


class _MaxPool(_Arguments):
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair
    dilation: WindowPair
    ceil_mode: bool


class _AvgPool(_Arguments):
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair
    ceil_mode: bool
    count_include_pad: bool


class _AdaptivePool(_Arguments):
    output_size: Window | tuple[Window | None, Window | None]


class _BatchNorm(_Arguments):
    num_features: Size
    eps: Real
    momentum: Share | None
    affine: bool
    track_running_stats: bool


class _LayerNorm(_Arguments):
    normalized_shape: Annotated[list[Size], Field(min_length=1, max_length=4)]
    eps: Real
    elementwise_affine: bool


class _Dropout(_Arguments):
    p: Share


class _Softmax(_Arguments):
    dim: Axis | None


class _Flatten(_Arguments):
    start_dim: Axis
    end_dim: Axis


class _Unflatten(_Arguments):
    dim: Axis
    unflattened_size: Annotated[list[Size], Field(min_length=1, max_length=4)]


class _LeakyReLU(_Arguments):
    negative_slope: Real


class _ELU(_Arguments):
    alpha: Real


class _GELU(_Arguments):
    approximate: Literal["none", "tanh"]


_PLAIN: tuple[str, ...] = (
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Identity",
    "Hardswish",
    "Mish",
)
KEEP_SHAPE = frozenset({*_PLAIN, "LeakyReLU", "ELU", "GELU", "Dropout"})
ARGUMENTS: dict[str, type[_Arguments]] = {
    **dict.fromkeys(_PLAIN, _None),
    "Linear": _Linear,
    "Conv2d": _Conv2d,
    "MaxPool2d": _MaxPool,
    "AvgPool2d": _AvgPool,
    "AdaptiveAvgPool2d": _AdaptivePool,
    "AdaptiveMaxPool2d": _AdaptivePool,
    "BatchNorm1d": _BatchNorm,
    "BatchNorm2d": _BatchNorm,
    "LayerNorm": _LayerNorm,
    "Dropout": _Dropout,
    "Dropout1d": _Dropout,
    "Dropout2d": _Dropout,
    "Softmax": _Softmax,
    "LogSoftmax": _Softmax,
    "Flatten": _Flatten,
    "Unflatten": _Unflatten,
    "LeakyReLU": _LeakyReLU,
    "ELU": _ELU,
    "GELU": _GELU,
}
