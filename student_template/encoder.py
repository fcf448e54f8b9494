"""Question 3b: one encoder layer of a Vision Transformer.

Several of your heads side by side are given: `from provided.multi_head import Attention`.
Attention(dim, heads, dim_head, dropout) turns x (B, T, dim) into the heads' outputs side by
side, (B, T, heads * dim_head), and their attention weights (B, heads, T, T).
"""

from torch import Tensor, nn


class ViTLayer(nn.Module):
    """A pre-norm encoder layer: attention and a small network, each with a residual connection."""

    def __init__(
        self, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float = 0.0
    ) -> None:
        """Make the layer's parts.

        dim: numbers per token; heads: attention heads; dim_head: numbers per head;
        mlp_dim: hidden units of the MLP; dropout: share dropped after the attention, inside
        the MLP and after it. W_O, which maps the heads back to dim, is yours and has no bias.
        """
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, T, dim) -> x: (B, T, dim), attention weights: (B, heads, T, T)."""
        raise NotImplementedError
