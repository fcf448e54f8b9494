import torch
import torch.nn as nn
import torch.nn.functional as F


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.inner_dim = inner_dim
        self.q = nn.Linear(input_dim, inner_dim, bias=False)
        self.k = nn.Linear(input_dim, inner_dim, bias=False)
        self.v = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        scores = torch.einsum("bqd,bkd->bqk", self.q(x), self.k(x)) / self.inner_dim**0.5
        weights = F.log_softmax(scores, dim=-1).exp()
        return self.dropout(weights @ self.v(x)), weights
