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
        sim = torch.bmm(q, k.permute(0, 2, 1)) / (self.d_k ** 0.5)
        A = torch.log_softmax(sim, dim=-1)
        z = torch.bmm(A, v)
        return self.dropout(z), A
