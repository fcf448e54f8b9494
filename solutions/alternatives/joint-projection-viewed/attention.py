import math

from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.qkv = nn.Linear(input_dim, 3 * inner_dim, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.inner_dim = inner_dim

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.inner_dim).permute(2, 0, 1, 3)
        attn = self.softmax(q @ k.transpose(-2, -1) / math.sqrt(self.inner_dim))
        return self.dropout(attn @ v), attn
