import torch
import torch.nn as nn
import torch.nn.functional as F

from provided.multi_head import Attention


class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super(ViTLayer, self).__init__()
        self.layernorm1 = nn.LayerNorm(dim, elementwise_affine=False)
        self.layernorm2 = nn.LayerNorm(dim, elementwise_affine=False)
        self.multihead = Attention(dim, heads, dim_head, dropout)
        self.wo = nn.Linear(heads * dim_head, dim, bias=False)
        self.fc1 = nn.Linear(dim, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, dim)
        self.relu = nn.ReLU()
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)

    def forward(self, x):
        residual = x
        out = self.layernorm1(x)
        out, weights = self.multihead(out)
        out = self.wo(out)
        out = self.dropout1(out)
        out = out + residual
        residual = out
        out = self.layernorm2(out)
        out = self.fc1(out)
        out = self.relu(out)
        out = self.dropout2(out)
        out = self.fc2(out)
        out = self.dropout3(out)
        out = out + residual
        return out, weights
