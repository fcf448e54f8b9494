"""A small Vision Transformer for MNIST, built from your encoder layer.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, at the size of a digit:
a 28×28 image becomes 16 patches of 7×7 pixels, each a token, and one more token, the
class token, gathers what the classifier reads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import encoder
from provided.mnist import CLASSES, IMAGE_SIZE
from provided.slots import layer_name
from provided.training import Training

ViTLayer = getattr(encoder, layer_name(encoder))
VIT_TRAINING = Training(learning_rate=1e-3, schedule="one_cycle")


class VisionTransformer(nn.Module):
    """Images (B, 1, 28, 28) -> logits (B, 10).

    With `return_attention=True` also the attention weights of the last layer,
    (B, heads, T, T) with T = 17 tokens, the class token first.
    """

    def __init__(
        self,
        patch_size: int = 7,
        dim: int = 64,
        depth: int = 6,
        heads: int = 8,
        mlp_dim: int = 128,
        dim_head: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        patches = (IMAGE_SIZE // patch_size) ** 2
        self.patch_size = patch_size
        self.embed = nn.Linear(patch_size**2, dim)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, patches + 1, dim))
        self.layers = nn.ModuleList(
            ViTLayer(dim, heads, dim_head, mlp_dim, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.classify = nn.Linear(dim, CLASSES)

    def forward(self, images: Tensor, return_attention: bool = False) -> Tensor | tuple:
        tokens = self.embed(to_patches(images, self.patch_size))  # (B, 16, dim)
        class_token = self.class_token.expand(len(tokens), -1, -1)
        x = torch.cat([class_token, tokens], dim=1) + self.positions  # (B, 17, dim)
        attention = None
        for layer in self.layers:
            result = layer(x)
            x, attention = result if isinstance(result, tuple) else (result, None)
        logits = self.classify(self.norm(x[:, 0]))  # (B, 10), read off the class token
        return (logits, attention) if return_attention else logits


def to_patches(images: Tensor, size: int) -> Tensor:
    """Cut images (B, 1, H, W) into squares: (B, H/size * W/size, size²), row by row."""
    rows = images.squeeze(1).unfold(1, size, size).unfold(2, size, size)
    return rows.flatten(3).flatten(1, 2)
