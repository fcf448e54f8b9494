from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, d_in, d_out, p_drop=0.0):
        super().__init__()
        self.q = nn.Linear(d_in, d_out, bias=False)
        self.k = nn.Linear(d_in, d_out, bias=False)
        self.v = nn.Linear(d_in, d_out, bias=False)
        self.drop = nn.Dropout(p_drop)
        self.d_out = d_out

    def forward(self, tokens):
        scores = self.q(tokens) @ self.k(tokens).mT / self.d_out**0.5
        weights = scores.softmax(dim=-1)
        return self.drop(weights @ self.v(tokens)), weights
