"""Runs confined: the attention head that stands in for a student's own, where theirs is wrong.

An encoder layer or a Vision Transformer is graded on its own merits, so it needs a head
that works. This one calls the attention that torch has built in, which the homework's rules
forbid in a student's slot: reading it here gives nothing away.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class HarnessHead(nn.Module):
    """x: (B, T, input_dim) -> out: (B, T, inner_dim), attention weights: (B, T, T)."""

    def __init__(self, input_dim: int, inner_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.query = nn.Linear(input_dim, inner_dim, bias=False)
        self.key = nn.Linear(input_dim, inner_dim, bias=False)
        self.value = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """softmax(Q Kᵀ / √inner_dim) V, and the weights."""
        q, k, v = self.query(x), self.key(x), self.value(x)
        identity = torch.eye(x.shape[-2], dtype=x.dtype).expand(*x.shape[:-2], -1, -1)
        # With the identity for values, what comes out are the attention weights themselves.
        weights = functional.scaled_dot_product_attention(q, k, identity)
        return self.dropout(weights @ v), weights
