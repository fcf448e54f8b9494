import torch
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.d_k = inner_dim
        self.query = nn.Linear(input_dim, inner_dim, bias=False)
        self.key = nn.Linear(input_dim, inner_dim, bias=False)
        self.value = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.query(x), self.key(x), self.value(x)
        maps, outs = [], []
        for i in range(B):
            sim = q[i] @ k[i].T / (self.d_k ** 0.5)
            maps.append(torch.softmax(sim, dim=-1))
            outs.append(maps[-1] @ v[i])
        A, z = torch.stack(maps), torch.stack(outs)
        return self.dropout(z), A
