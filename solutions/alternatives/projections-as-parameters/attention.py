import math

import torch
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.):
        super(SingleHeadAttention, self).__init__()
        self.Wq = nn.Parameter(torch.randn(input_dim, inner_dim) / math.sqrt(input_dim))
        self.Wk = nn.Parameter(torch.randn(input_dim, inner_dim) / math.sqrt(input_dim))
        self.Wv = nn.Parameter(torch.randn(input_dim, inner_dim) / math.sqrt(input_dim))
        self.scale = 1 / math.sqrt(inner_dim)
        self.attend = nn.Softmax(dim=-1)
        self.drop = nn.Dropout(p=dropout)

    def forward(self, x):
        q, k, v = x @ self.Wq, x @ self.Wk, x @ self.Wv
        dots = torch.matmul(q, k.transpose(1, 2)) * self.scale
        attn = self.attend(dots)
        out = torch.matmul(attn, v)
        out = self.drop(out)
        return out, attn
