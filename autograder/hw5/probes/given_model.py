"""The given Vision Transformer apart from its layers: its sizes, where tokens come from, the end.

Its text is in student_template/provided/vision_transformer.py, which can't be imported here
because it imports a student's layer.

B images, T tokens, I numbers per token.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from autograder.homework import GIVEN_CODE
from provided.mnist import CLASSES, IMAGE_SIZE

State = Mapping[str, Tensor]  # a model's weights by name


@dataclass(frozen=True)
class Sizes:
    """The given Vision Transformer's own sizes, read off its constructor's defaults."""

    patch_size: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    dim_head: int

    @classmethod
    def of_given_model(cls, source: str) -> Sizes:
        """From the text of vision_transformer.py. Raises KeyError where one has no default."""
        (init,) = (
            method
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef) and node.name == "VisionTransformer"
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        )
        names = [argument.arg for argument in init.args.args][-len(init.args.defaults) :]
        defaults = dict(zip(names, map(ast.literal_eval, init.args.defaults), strict=True))
        return cls(**{one.name: defaults[one.name] for one in fields(cls)})

    @property
    def patches(self) -> int:
        """How many squares an image is cut into."""
        return int((IMAGE_SIZE // self.patch_size) ** 2)

    @property
    def tokens(self) -> int:
        """The patches and the class token."""
        return self.patches + 1


SIZES = Sizes.of_given_model((GIVEN_CODE / "vision_transformer.py").read_text(encoding="utf-8"))

GIVEN_SHAPES = {
    "embed.weight": (SIZES.dim, SIZES.patch_size**2),
    "embed.bias": (SIZES.dim,),
    "class_token": (1, 1, SIZES.dim),
    "positions": (1, SIZES.tokens, SIZES.dim),
    "norm.weight": (SIZES.dim,),
    "norm.bias": (SIZES.dim,),
    "classify.weight": (CLASSES, SIZES.dim),
    "classify.bias": (CLASSES,),
}


def tokens(state: State, images: Tensor) -> Tensor:
    """The class token and the embedded patches, with their positions (B, T, I)."""
    size = SIZES.patch_size
    squares = images.squeeze(1).unfold(1, size, size).unfold(2, size, size)
    patches = squares.flatten(3).flatten(1, 2)  # (B, T - 1, size²)
    tokens = functional.linear(patches, state["embed.weight"], state["embed.bias"])
    class_token = state["class_token"].expand(len(tokens), -1, -1)
    return torch.cat([class_token, tokens], dim=1) + state["positions"]


def classified(state: State, x: Tensor) -> Tensor:
    """Logits (B, 10) from the class token (B, I)."""
    normed = functional.layer_norm(x, x.shape[-1:], state["norm.weight"], state["norm.bias"])
    return functional.linear(normed, state["classify.weight"], state["classify.bias"])
