import torch
import torch.nn as nn


def attend(q, k, v):
    weights = torch.softmax(q @ k.mT / q.size(-1) ** 0.5, dim=-1)
    return weights @ v, weights


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.input_dim = input_dim
        self.inner_dim = inner_dim
        self.W_q = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_k = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_v = nn.Linear(input_dim, inner_dim, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        Q = self.W_q(x)
        K = self.W_k(x)
        V = self.W_v(x)
        out, weights = attend(Q, K, V)
        return self.dropout(out), weights
