"""Scaled dot-product self-attention, one head."""

import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn


class SingleHeadAttention(nn.Module):
    """x: (B, T, input_dim) -> out: (B, T, inner_dim), attention weights: (B, T, T)."""

    def __init__(self, input_dim: int, inner_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.query = nn.Linear(input_dim, inner_dim, bias=False)
        self.key = nn.Linear(input_dim, inner_dim, bias=False)
        self.value = nn.Linear(input_dim, inner_dim, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.scale = 1 / math.sqrt(inner_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.query(x), self.key(x), self.value(x)  # each (B, T, inner_dim)
        scores = torch.matmul(q, k.transpose(-2, -1)) * self.scale  # (B, T, T)
        attention = self.softmax(scores)  # each row sums to one
        out = self.dropout(torch.matmul(attention, v))  # (B, T, inner_dim)
        return out, attention
