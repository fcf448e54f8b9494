import math

import torch
import torch.nn.functional as F
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.):
        super(SingleHeadAttention, self).__init__()
        self.to_q = nn.Linear(input_dim, inner_dim, bias=False)
        self.to_k = nn.Linear(input_dim, inner_dim, bias=False)
        self.to_v = nn.Linear(input_dim, inner_dim, bias=False)
        self.scale = 1 / math.sqrt(inner_dim)
        self.p = dropout

    def forward(self, x):
        q = self.to_q(x)
        k = self.to_k(x)
        v = self.to_v(x)
        dots = torch.matmul(q, k.transpose(1, 2)) * self.scale
        attn = F.softmax(dots, dim=2)
        out = torch.matmul(attn, v)
        out = F.dropout(out, self.p, training=self.training)
        return out, attn
