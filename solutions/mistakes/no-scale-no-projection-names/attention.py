import torch
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.d_k = inner_dim
        self.fc1 = nn.Linear(input_dim, inner_dim, bias=False)
        self.fc2 = nn.Linear(input_dim, inner_dim, bias=False)
        self.fc3 = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.fc1(x), self.fc2(x), self.fc3(x)
        sim = torch.bmm(q, k.permute(0, 2, 1))
        A = torch.softmax(sim, dim=-1)
        z = torch.bmm(A, v)
        return self.dropout(z), A
