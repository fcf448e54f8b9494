import math

import torch
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.W_q = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_k = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_v = nn.Linear(input_dim, inner_dim, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.scale = math.sqrt(inner_dim)

    def forward(self, x):
        q, k, v = (W(x.transpose(0, 1)) for W in (self.W_q, self.W_k, self.W_v))  # (T, B, D)
        scores = torch.einsum("tbd,sbd->bts", q, k) / self.scale
        attn = self.softmax(scores)
        out = self.dropout(torch.einsum("bts,sbd->btd", attn, v))
        return out, attn
