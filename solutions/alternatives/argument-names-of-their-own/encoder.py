from torch import nn

from provided.multi_head import Attention


class ViTLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_head, d_hidden, p_drop=0.0):
        super().__init__()
        self.heads = Attention(d_model, n_heads, d_head, p_drop)
        self.out = nn.Linear(n_heads * d_head, d_model, bias=False)
        self.ln_1, self.ln_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.fc_1, self.fc_2 = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)
        self.relu, self.drop = nn.ReLU(), nn.Dropout(p_drop)

    def forward(self, tokens):
        mixed, maps = self.heads(self.ln_1(tokens))
        tokens = tokens + self.drop(self.out(mixed))
        hidden = self.drop(self.relu(self.fc_1(self.ln_2(tokens))))
        return tokens + self.drop(self.fc_2(hidden)), maps
