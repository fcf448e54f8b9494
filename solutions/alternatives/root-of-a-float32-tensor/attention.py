import torch
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.inner_dim = inner_dim
        self.query_layer = nn.Linear(input_dim, inner_dim, bias=False)
        self.key_layer = nn.Linear(input_dim, inner_dim, bias=False)
        self.value_layer = nn.Linear(input_dim, inner_dim, bias=False)
        self.dropout_layer = nn.Dropout(dropout)

    def forward(self, x):
        query = self.query_layer(x)
        key = self.key_layer(x)
        value = self.value_layer(x)
        scores = torch.matmul(query, key.transpose(-2, -1))
        scores = scores / torch.sqrt(torch.tensor(self.inner_dim, dtype=torch.float32))
        attention = torch.softmax(scores, dim=-1)
        return self.dropout_layer(torch.matmul(attention, value)), attention
