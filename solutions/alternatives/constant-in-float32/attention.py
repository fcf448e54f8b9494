import torch
import torch.nn as nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.W_q = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_k = nn.Linear(input_dim, inner_dim, bias=False)
        self.W_v = nn.Linear(input_dim, inner_dim, bias=False)
        self.register_buffer("d_k", torch.tensor(inner_dim, dtype=torch.float32), persistent=False)
        self.softmax = nn.Softmax(dim=2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        Q, K, V = self.W_q(x), self.W_k(x), self.W_v(x)
        scale = float(self.d_k.float() ** -0.5)
        weights = self.softmax(Q.bmm(K.permute(0, 2, 1)) * scale)
        return self.dropout(weights.bmm(V)), weights
