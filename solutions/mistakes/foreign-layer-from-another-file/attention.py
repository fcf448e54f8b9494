import math

import torch
from torch import nn

from models import normalise


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.):
        super(SingleHeadAttention, self).__init__()
        self.to_q = nn.Linear(input_dim, inner_dim, bias=False)
        self.to_k = nn.Linear(input_dim, inner_dim, bias=False)
        self.to_v = nn.Linear(input_dim, inner_dim, bias=False)
        self.scale = 1 / math.sqrt(inner_dim)
        self.norm = normalise(inner_dim)
        self.attend = nn.Softmax(dim=-1)
        self.drop = nn.Dropout(p=dropout)

    def forward(self, x):
        q = self.to_q(x)
        k = self.to_k(x)
        v = self.to_v(x)
        dots = torch.matmul(q, k.transpose(1, 2)) * self.scale
        attn = self.attend(dots)
        out = torch.matmul(attn, v)
        out = self.drop(out)
        return out, attn
