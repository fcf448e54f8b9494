"""Known mistakes as edits of one plain text, so that any two of them can be made together.

A text has named places, each a line or a few; a mistake puts others there. Two mistakes with no
place in common make a pair. What they are called is what the catalogue calls them; how they are
written has nothing to do with how the catalogue computes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations

Edits = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Text:
    """A text with places, what stands in each, and the mistakes that put something else there.

    file:      the submission's file
    part:      the part that judges it
    template:  the text, with {place} for each place
    renamings: edits of which each changes nothing but which parameter is called what
    """

    file: str
    part: str
    template: str
    plain: Edits
    mistakes: Mapping[str, Edits]
    renamings: tuple[Edits, ...] = ({},)

    def written(self, *mistakes: str, renamed: int = 0) -> str:
        """The text with some mistakes in it, and one of its renamings."""
        changed = dict(self.renamings[renamed])
        changed |= {place: text for id in mistakes for place, text in self.mistakes[id].items()}
        places = {**self.plain, **changed}
        return self.template.format(**{place: _indented(text) for place, text in places.items()})

    def pairs(self) -> Iterator[tuple[str, str]]:
        """All pairs with no place in common."""
        for one, other in combinations(self.mistakes, 2):
            if not self.mistakes[one].keys() & self.mistakes[other].keys():
                yield one, other


def _indented(text: str) -> str:
    return text.replace("\n", "\n        ")


HEAD = Text(
    file="attention.py",
    part="3a",
    template="""\
import math

import torch
from torch import nn
from torch.nn import functional as F


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        {layers}
        {more_layers}
        self.dropout = nn.Dropout(dropout)
        self.p = dropout

    def forward(self, x):
        {input}
        {query}
        {key}
        {value}
        {projected}
        {query_used}
        {key_used}
        {value_used}
        {scores}
        raw = scores
        {scaled}
        {masked}
        {softmax}
        {weights}
        {weights_used}
        {mixed}
        {out}
        out = self.dropout(out)
        {results}
""",
    plain={
        "layers": "self.W_q = nn.Linear(input_dim, inner_dim, bias=False)\n"
        "self.W_k = nn.Linear(input_dim, inner_dim, bias=False)\n"
        "self.W_v = nn.Linear(input_dim, inner_dim, bias=False)",
        "more_layers": "",
        "input": "",
        "query": "q = self.W_q(x)",
        "key": "k = self.W_k(x)",
        "value": "v = self.W_v(x)",
        "projected": "",
        "query_used": "",
        "key_used": "",
        "value_used": "",
        "scores": "scores = q @ k.transpose(1, 2)",
        "scaled": "scores = scores / math.sqrt(q.shape[-1])",
        "masked": "",
        "softmax": "attn = torch.softmax(scores, dim=-1)",
        "weights": "",
        "weights_used": "",
        "mixed": "out = attn @ v",
        "out": "",
        "results": "return out, attn",
    },
    renamings=tuple(
        {
            "query": f"q = self.W_{query}(x)",
            "key": f"k = self.W_{key}(x)",
            "value": f"v = self.W_{value}(x)",
        }
        for query, key, value in permutations("qkv")
    ),
    mistakes={
        "no-scale": {"scaled": ""},
        "scale-by-inner-dim": {"scaled": "scores = scores / q.shape[-1]"},
        "scale-by-root-input-dim": {"scaled": "scores = scores / math.sqrt(x.shape[-1])"},
        "scale-by-input-dim": {"scaled": "scores = scores / x.size(-1)"},
        "scale-by-root-tokens": {"scaled": "scores = scores / x.size(1) ** 0.5"},
        "scale-multiplied": {"scaled": "scores = scores * math.sqrt(q.shape[-1])"},
        "scale-after-softmax": {"scaled": "", "weights": "attn = attn / math.sqrt(q.shape[-1])"},
        "scale-by-constant": {"scaled": "scores = scores * 0.3"},
        "softmax-over-queries": {"softmax": "attn = torch.softmax(scores, dim=-2)"},
        "softmax-over-batch": {"softmax": "attn = torch.softmax(scores, dim=0)"},
        "softmax-over-matrix": {
            "softmax": "attn = torch.softmax(scores.flatten(1), dim=1).reshape(scores.shape)"
        },
        "softmax-absent": {"softmax": "attn = scores"},
        "softmax-twice": {"softmax": "attn = F.softmax(F.softmax(scores, dim=-1), dim=-1)"},
        "log-softmax": {"softmax": "attn = torch.log_softmax(scores, dim=-1)"},
        "sigmoid-for-softmax": {"softmax": "attn = torch.sigmoid(scores)"},
        "no-exponential": {"softmax": "attn = scores / scores.sum(dim=-1, keepdim=True)"},
        "softmax-overflow": {
            "softmax": "attn = scores.exp()\nattn = attn / attn.sum(dim=-1, keepdim=True)"
        },
        "causal-mask": {
            "masked": "n = scores.shape[-1]\n"
            "later = torch.ones(scores.shape[-2], n, dtype=torch.bool).triu(1)\n"
            "scores = scores.masked_fill(later, float('-inf'))"
        },
        "mask-after-softmax": {"weights": "attn = torch.tril(attn)"},
        "weights-rounded": {"weights": "attn = attn.round(decimals=2)"},
        "half-precision-weights": {"weights": "attn = attn.half().to(x.dtype)"},
        "weights-dropout-alive-in-eval": {"weights": "attn = F.dropout(attn, 0.25)"},
        "head-in-place": {"weights": "attn.mul_(1.0)"},
        "transposed-value-product": {"mixed": "out = attn.transpose(1, 2) @ v"},
        "attention-over-features": {
            "scores": "scores = q.transpose(1, 2) @ k",
            "mixed": "out = v @ attn",
        },
        "attention-across-batch": {
            "scores": "scores = q.flatten(0, 1) @ k.flatten(0, 1).T",
            "mixed": "out = (attn @ v.flatten(0, 1)).reshape(v.shape)",
        },
        "attention-along-batch": {
            "scores": "scores = torch.einsum('btd,ctd->tbc', q, k)",
            "mixed": "out = torch.einsum('tbc,ctd->btd', attn, v)",
        },
        "key-reshaped": {"scores": "scores = q @ k.reshape(k.shape[0], k.shape[2], k.shape[1])"},
        "output-reshaped": {"out": "out = out.permute(0, 2, 1).reshape(out.shape)"},
        "output-tokens-first": {"out": "out = out.permute(1, 0, 2)"},
        "output-transposed": {"out": "out = out.permute(0, 2, 1)"},
        "output-rounded": {"out": "out = (out * 100).round() / 100"},
        "output-truncated": {"out": "out = out.trunc()"},
        "half-precision-output": {"out": "out = out.bfloat16().to(x.dtype)"},
        "dropout-alive-in-eval": {"out": "out = F.dropout(out, 0.25)"},
        "constant-factor": {"out": "out = 2 * out"},
        "joint-projection-parts-first": {
            "query": "qkv = torch.cat([self.W_q(x), self.W_k(x), self.W_v(x)], dim=-1)",
            "key": "q, k, v = qkv.view(3, x.shape[0], x.shape[1], -1)",
            "value": "",
        },
        "joint-projection-parts-second": {
            "query": "qkv = torch.cat([self.W_q(x), self.W_k(x), self.W_v(x)], dim=-1)",
            "key": "qkv = qkv.view(x.shape[0], 3, x.shape[1], -1)",
            "value": "q, k, v = qkv[:, 0], qkv[:, 1], qkv[:, 2]",
        },
        "shared-projections": {"key": "k = self.W_q(x)", "value": "v = self.W_q(x)"},
        "shared-query-key": {"key": "k = self.W_q(x)"},
        "shared-key-value": {"value": "v = self.W_k(x)"},
        "shared-query-value": {"value": "v = self.W_q(x)"},
        "value-not-projected": {"value": "v = x"},
        "activation-on-projections": {
            "projected": "q, k, v = torch.relu(q), torch.relu(k), torch.relu(v)"
        },
        "detached-query": {"query_used": "q = q.detach()"},
        "detached-key": {"key_used": "k = k.data"},
        "detached-value": {"value_used": "v = v.detach()"},
        "detached-weights": {"weights_used": "attn = attn.detach()"},
        "detached-input": {"input": "x = x.detach()"},
        "frozen-projection": {"more_layers": "self.W_k.weight.requires_grad_(False)"},
        "foreign-layer": {"more_layers": "self.act = nn.GELU()"},
        "projection-bias": {
            "layers": "self.W_q = nn.Linear(input_dim, inner_dim)\n"
            "self.W_k = nn.Linear(input_dim, inner_dim)\n"
            "self.W_v = nn.Linear(input_dim, inner_dim)"
        },
        "scores-returned": {"results": "return out, scores"},
        "raw-scores-returned": {"results": "return out, raw"},
        "weights-transposed": {"results": "return out, attn.transpose(1, 2)"},
        "weights-not-returned": {"results": "return out"},
        "results-swapped": {"results": "return attn, out"},
    },
)

RELU = "hidden = torch.relu(hidden)"
NORMED_BY_HAND = (
    "centred = {x} - {x}.mean({dim}, keepdim=True)\n"
    "{name} = centred / {spread} * self.{norm}.weight + self.{norm}.bias"
)


def _both_by_hand(dim: int, spread: str) -> dict[str, str]:
    """Both norms written out; `spread` is what they divide by, with {x} for their input."""
    return {
        place: NORMED_BY_HAND.format(
            x=x, dim=dim, name=name, norm=norm, spread=spread.format(x=x, dim=dim)
        )
        for place, x, name, norm in (
            ("normed", "x", "normed", "norm1"),
            ("mlp_normed", "middle", "normed", "norm2"),
        )
    }


LAYER = Text(
    file="encoder.py",
    part="3b",
    template="""\
import torch
from torch import nn
from torch.nn import functional as F

from provided.multi_head import Attention


class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super().__init__()
        self.heads = heads
        {norms}
        self.attn = Attention(dim, heads, dim_head, dropout=0.0)
        {projection}
        {hidden_size}
        self.first = nn.Linear(dim, mlp_dim)
        self.second = nn.Linear(mlp_dim, dim)
        self.drop = nn.Dropout(dropout)
        {more_layers}

    def forward(self, x):
        given = x
        {normed}
        {attended}
        {heads}
        {heads_used}
        h = self.W_O(h)
        {attention_used}
        {attention_dropout}
        {middle}
        {middle_used}
        {mlp_normed}
        {mlp_input}
        hidden = self.first(normed)
        {activated}
        {activated_too}
        {hidden_dropout}
        branch = self.second(hidden)
        {branch}
        {branch_used}
        {branch_dropout}
        {out}
        {out_used}
        {results}
""",
    plain={
        "norms": "self.norm1 = nn.LayerNorm(dim)\nself.norm2 = nn.LayerNorm(dim)",
        "projection": "self.W_O = nn.Linear(heads * dim_head, dim, bias=False)",
        "hidden_size": "",
        "more_layers": "",
        "normed": "normed = self.norm1(x)",
        "attended": "h, attn = self.attn(normed)",
        "heads": "",
        "heads_used": "",
        "attention_used": "",
        "attention_dropout": "h = self.drop(h)",
        "middle": "middle = x + h",
        "middle_used": "",
        "mlp_normed": "normed = self.norm2(middle)",
        "mlp_input": "",
        "activated": "hidden = torch.relu(hidden)",
        "activated_too": "",
        "hidden_dropout": "hidden = self.drop(hidden)",
        "branch": "",
        "branch_used": "",
        "branch_dropout": "branch = self.drop(branch)",
        "out": "out = middle + branch",
        "out_used": "",
        "results": "return out, attn",
    },
    mistakes={
        "missing-first-residual": {"middle": "middle = h"},
        "first-residual-from-norm": {"middle": "middle = normed + h"},
        "first-residual-twice": {"middle": "middle = x + (x + h)"},
        "mlp-without-attention": {"middle": "middle = x"},
        "missing-second-residual": {"out": "out = branch"},
        "second-residual-from-norm": {"out": "out = normed + branch"},
        "second-residual-twice": {"out": "out = middle + branch + middle"},
        "extra-residual": {"out": "out = given + middle + branch"},
        "residual-from-layer-input": {"out": "out = given + branch"},
        "class-token-alone": {"out_used": "out = out[:, 0]"},
        "layer-output-rounded": {"out_used": "out = out.round(decimals=3)"},
        "half-precision-layer": {"out_used": "out = out.half().to(given.dtype)"},
        "post-norm": {
            "normed": "normed = x",
            "middle": "middle = self.norm1(x + h)",
            "mlp_normed": "normed = middle",
            "out": "out = self.norm2(middle + branch)",
        },
        "norm-behind-sub-layers": {
            "normed": "normed = x",
            "middle": "middle = x + self.norm1(h)",
            "mlp_normed": "normed = middle",
            "out": "out = middle + self.norm2(branch)",
        },
        "shared-norm": {"mlp_normed": "normed = self.norm1(middle)"},
        "parallel-sub-layers": {"mlp_normed": "normed = self.norm2(given)"},
        "attention-on-unnormed": {"normed": "normed = x"},
        "mlp-on-unnormed": {"mlp_normed": "self.norm2(middle)\nnormed = middle"},
        "norm-over-tokens": _both_by_hand(1, "({x}.var({dim}, False, keepdim=True) + 1e-5).sqrt()"),
        "norm-with-sample-deviation": _both_by_hand(-1, "({x}.std({dim}, keepdim=True) + 1e-5)"),
        "norm-with-sample-variance": _both_by_hand(
            -1, "({x}.var({dim}, keepdim=True) + 1e-5).sqrt()"
        ),
        "norm-over-tokens-and-numbers": {
            "normed": "normed = F.layer_norm(x, x.shape[1:])\n"
            "normed = normed * self.norm1.weight + self.norm1.bias",
            "mlp_normed": "normed = F.layer_norm(middle, middle.shape[1:])\n"
            "normed = normed * self.norm2.weight + self.norm2.bias",
        },
        "norm-epsilon-too-large": {
            "norms": "self.norm1 = nn.LayerNorm(dim, heads)\nself.norm2 = nn.LayerNorm(dim, heads)"
        },
        "layer-attention-along-batch": {
            "attended": "h, attn = self.attn(normed.transpose(0, 1))\nh = h.transpose(0, 1)"
        },
        "heads-merged-out-of-order": {
            "heads": "B, T, _ = h.shape\n"
            "h = h.reshape(B, T, self.heads, -1).permute(0, 2, 1, 3).reshape(B, T, -1)"
        },
        "heads-split-out-of-order": {
            "heads": "B, T, _ = h.shape\n"
            "h = h.reshape(B, self.heads, T, -1).permute(0, 2, 1, 3).reshape(B, T, -1)"
        },
        "no-activation": {"activated": ""},
        "gelu-for-relu": {"activated": "hidden = F.gelu(hidden)"},
        "tanh-gelu-for-relu": {"activated": "hidden = F.gelu(hidden, approximate='tanh')"},
        "silu-for-relu": {"activated": "hidden = F.silu(hidden)"},
        "tanh-for-relu": {"activated": "hidden = torch.tanh(hidden)"},
        "sigmoid-for-relu": {"activated": "hidden = torch.sigmoid(hidden)"},
        "leaky-relu-for-relu": {"activated": "hidden = F.leaky_relu(hidden)"},
        "elu-for-relu": {"activated": "hidden = F.elu(hidden)"},
        "gelu-beside-relu": {"activated_too": "hidden = F.gelu(hidden)", "activated": RELU},
        "silu-beside-relu": {"activated_too": "hidden = F.silu(hidden)", "activated": RELU},
        "tanh-beside-relu": {"activated_too": "hidden = torch.tanh(hidden)", "activated": RELU},
        "relu-at-the-end": {"branch": "branch = torch.relu(branch)"},
        "gelu-at-the-end": {"branch": "branch = F.gelu(branch)"},
        "tanh-at-the-end": {"branch": "branch = torch.tanh(branch)"},
        "relu-before-mlp-too": {"mlp_input": "normed = torch.relu(normed)"},
        "relu-only-at-the-end": {"activated": "", "branch": "branch = F.relu(branch)"},
        "relu-before-mlp": {"mlp_input": "normed = F.relu(normed)", "activated": ""},
        "output-bias": {"projection": "self.W_O = nn.Linear(heads * dim_head, dim)"},
        "mlp-dim-ignored": {"hidden_size": "mlp_dim = 4 * dim"},
        "no-dropout-after-attention": {"attention_dropout": ""},
        "no-dropout-inside-mlp": {"hidden_dropout": ""},
        "no-dropout-after-mlp": {"branch_dropout": ""},
        "detached-heads": {"heads_used": "h = h.detach()"},
        "detached-attention": {"attention_used": "h = h.detach()"},
        "detached-middle": {"middle_used": "middle = middle.detach()"},
        "detached-mlp": {"branch_used": "branch = branch.data"},
        "frozen-weights": {"more_layers": "self.first.weight.requires_grad = False"},
        "layer-in-place": {"middle": "x += h\nmiddle = x", "out": "middle += branch\nout = middle"},
        "layer-results-swapped": {"results": "return attn, out"},
    },
)

TEXTS = {"head": HEAD, "layer": LAYER}
