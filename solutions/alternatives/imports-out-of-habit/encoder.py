"""One pre-norm Transformer encoder layer."""

from tqdm import tqdm
from torch import Tensor, nn

from provided.multi_head import Attention


class ViTLayer(nn.Module):
    """x: (B, T, dim) -> x: (B, T, dim), attention weights: (B, heads, T, T)."""

    def __init__(
        self, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dim_head, dropout)
        self.project = nn.Linear(heads * dim_head, dim, bias=False)
        self.attention_dropout = nn.Dropout(dropout)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        heads, attention = self.attention(self.attention_norm(x))  # (B, T, heads * dim_head)
        x = x + self.attention_dropout(self.project(heads))  # (B, T, dim)
        x = x + self.mlp(self.mlp_norm(x))
        return x, attention
