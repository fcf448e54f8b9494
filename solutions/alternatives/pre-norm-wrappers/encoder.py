from torch import nn

from provided.multi_head import Attention


class PreNorm(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = fn

    def forward(self, x):
        return self.fn(self.norm(x))


class ProjectedAttention(nn.Module):
    def __init__(self, dim, heads, dim_head, dropout):
        super().__init__()
        self.attention = Attention(dim, heads, dim_head, dropout)
        self.out = nn.Linear(heads * dim_head, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x, maps = self.attention(x)
        return self.dropout(self.out(x)), maps


class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super().__init__()
        self.attn = PreNorm(dim, ProjectedAttention(dim, heads, dim_head, dropout))
        self.ff = PreNorm(
            dim,
            nn.Sequential(
                nn.Linear(dim, mlp_dim),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(mlp_dim, dim),
                nn.Dropout(dropout),
            ),
        )

    def forward(self, x):
        out, maps = self.attn(x)
        x = x + out
        return self.ff(x) + x, maps
