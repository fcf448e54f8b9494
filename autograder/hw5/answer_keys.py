"""Questions worked out by hand, and their answer keys, which torch computes."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from autograder.training.layer_list import count_parameters

Positive = Annotated[int, Field(ge=1)]
Matrix = list[list[float]]


class Section(BaseModel):
    """A section of the settings: nothing unknown in it, and nothing that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Convolution1d(Section):
    """A one-dimensional convolution without padding."""

    length: Positive
    input_channels: Positive
    filters: Positive
    kernel: Positive
    stride: Positive

    def parameters(self) -> int:
        """Weights and biases, counted by torch."""
        return count_parameters(self._layer())

    def output_shape(self) -> tuple[int, int]:
        """(length, channels) of the output, computed by torch."""
        _, channels, length = self._layer()(torch.zeros(1, self.input_channels, self.length)).shape
        return length, channels

    def _layer(self) -> nn.Conv1d:
        return nn.Conv1d(self.input_channels, self.filters, self.kernel, self.stride)


class Convolution2d(Section):
    """A two-dimensional convolution without padding."""

    height: Positive
    width: Positive
    input_channels: Positive
    filters: Positive
    kernel: Positive
    stride: Positive

    def parameters(self) -> int:
        """Weights and biases, counted by torch."""
        return count_parameters(self._layer())

    def output_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the output, computed by torch."""
        image = torch.zeros(1, self.input_channels, self.height, self.width)
        _, channels, height, width = self._layer()(image).shape
        return height, width, channels

    def _layer(self) -> nn.Conv2d:
        return nn.Conv2d(self.input_channels, self.filters, self.kernel, self.stride)


class Pooling(Section):
    """Two matrices that are pooled by hand."""

    window: Positive
    stride: Positive
    tolerance: Annotated[float, Field(ge=0)]
    first: Matrix
    second: Matrix

    @model_validator(mode="after")
    def _rectangular(self) -> Pooling:
        for matrix in (self.first, self.second):
            if len({len(row) for row in matrix}) != 1 or len(matrix) < self.window:
                raise ValueError("each matrix needs rows of one length and the window's size")
        if len(self.first) != len(self.second):
            raise ValueError("both matrices need as many rows")
        return self

    @property
    def side_by_side(self) -> str:
        """Both matrices as a comment in a text, the second beside the first."""
        rows = [
            [" ".join(f"{value:g}" for value in row) for row in matrix]
            for matrix in (self.first, self.second)
        ]
        heads = (("first:  ", "second:  "), *((" " * 8, " " * 9) for _ in self.first[1:]))
        return "\n".join(
            f"#   {head}{left}      {other}{right}"
            for (head, other), left, right in zip(heads, *rows, strict=True)
        )

    def average(self, matrix: Matrix) -> Matrix:
        """Average pooling, by torch."""
        return self._pooled(nn.AvgPool2d(self.window, self.stride), matrix)

    def maximum(self, matrix: Matrix) -> Matrix:
        """Max pooling, by torch."""
        return self._pooled(nn.MaxPool2d(self.window, self.stride), matrix)

    @staticmethod
    def _pooled(layer: nn.Module, matrix: Matrix) -> Matrix:
        pooled = layer(torch.tensor(matrix, dtype=torch.float64)[None, None])
        return [[float(value) for value in row] for row in pooled[0, 0]]
