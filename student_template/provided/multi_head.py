"""Several attention heads side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attention import SingleHeadAttention


class Attention(nn.Module):
    """`heads` of your SingleHeadAttention on the same input, their outputs concatenated.

    x: (B, T, dim) -> out: (B, T, heads * dim_head), attention: (B, heads, T, T).

    There is no output projection here: mapping back to `dim` is the encoder layer's work.
    The second result is None where a head returns its output alone.
    """

    def __init__(self, dim: int, heads: int = 8, dim_head: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            SingleHeadAttention(dim, dim_head, dropout) for _ in range(heads)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, maps = [], []
        for head in self.heads:
            result = head(x)
            if isinstance(result, tuple):
                outputs.append(result[0])  # (B, T, dim_head)
                maps.append(result[1])  # (B, T, T)
            else:
                outputs.append(result)
        out = torch.cat(outputs, dim=-1)  # (B, T, heads * dim_head)
        if len(maps) < len(outputs):
            return out, None
        return out, torch.stack(maps, dim=1)  # (B, heads, T, T)
