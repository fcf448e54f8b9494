import torch
from torch import nn

from provided.multi_head import Attention


class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads=heads, dim_head=dim_head)
        self.W_O = nn.Linear(heads * dim_head, dim, bias=False)
        self.drop1 = nn.Dropout(0.0)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, mlp_dim)
        self.drop2 = nn.Dropout(0.0)
        self.linear2 = nn.Linear(mlp_dim, dim)
        self.drop3 = nn.Dropout(0.0)

    def forward(self, x):
        h, attn = self.attn(self.norm1(x))
        x = x + self.drop1(self.W_O(h))
        h = self.drop2(torch.relu(self.linear1(self.norm2(x))))
        x = x + self.drop3(self.linear2(h))
        return x, attn
