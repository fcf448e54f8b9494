"""Correct attention heads and encoder layers as people write them, drawn at random as text.

A seed stands for one pair of attention.py and encoder.py. Names, order of definition, layout of
the parameters, constants, forms of a product, places of dropout and things that do nothing are
drawn; what is computed is always what questions 3a and 3b ask for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

HEAD_ARGUMENTS = (
    ("input_dim", "inner_dim", "dropout"),
    ("d_in", "d_k", "p"),
    ("dim", "head_dim", "drop_rate"),
    ("embed_size", "head_size", "dropout_p"),
)
LAYER_ARGUMENTS = (
    ("dim", "heads", "dim_head", "mlp_dim", "dropout"),
    ("d_model", "n_heads", "d_head", "d_ff", "p"),
    ("embed_dim", "num_heads", "head_dim", "hidden_dim", "drop"),
)
ROLE_NAMES = (
    ("query", "key", "value"),
    ("W_q", "W_k", "W_v"),
    ("to_q", "to_k", "to_v"),
    ("q_proj", "k_proj", "v_proj"),
    ("first", "second", "third"),
    ("A", "B", "C"),
)
IMPORTS = """import math
from math import sqrt

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
"""
OWN_DROPOUT = '''

class Drop(nn.Module):
    """Dropout written by hand."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        keep = torch.full_like(x, 1 - self.p)
        return x * torch.bernoulli(keep) / (1 - self.p)
'''
OWN_NORM = '''

class Norm(nn.Module):
    """Layer normalisation written by hand."""

    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(size))
        self.scale = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.pow(2).mean(dim=-1, keepdim=True)
        return self.scale * centred / torch.sqrt(variance + self.eps) + self.shift
'''


@dataclass
class Written:
    """A module's text while it is written.

    made:  statements of the constructor, independent of each other
    steps: statements of forward
    idle:  parameters that do nothing, by name
    """

    chance: random.Random
    made: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    idle: set[str] = field(default_factory=set)

    def one_of(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def maybe(self, share: float = 0.5) -> bool:
        return self.chance.random() < share

    def shuffle(self, things: Sequence[str]) -> list[str]:
        return self.chance.sample(things, len(things))

    def text(self, name: str, arguments: Sequence[str], doc: str) -> str:
        """The class, its parts made in a random order."""
        given = [f"{one}: int" for one in arguments[:-1]] if self.maybe() else arguments[:-1]
        parent = self.one_of("super().__init__()", f"super({name}, self).__init__()")
        lines = [f"class {name}(nn.Module):", *([f'    """{doc}"""', ""] if self.maybe() else [])]
        lines.append(f"    def __init__(self, {', '.join(given)}, {arguments[-1]}=0.0):")
        lines.append(f"        {parent}")
        for statement in self.shuffle(self.made):
            lines += [f"        {line}" for line in statement.splitlines()]
        lines.append("")
        for method in self.methods:
            lines += [f"    {line}".rstrip() for line in method.splitlines()] + [""]
        lines.append(f"    def forward(self, {self.one_of('x', 'x: Tensor')}):")
        lines += [f"        {line}" for line in self.steps]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class RandomPair:
    """One draw: both files, the parameters that do nothing, and how they were drawn."""

    seed: int
    attention: str
    encoder: str
    idle_in_head: frozenset[str]
    idle_in_layer: frozenset[str]


def draw(seed: int) -> RandomPair:
    """The pair that a seed stands for."""
    chance = random.Random(seed)
    head, drops = a_head(Written(chance))
    layer = Written(chance)
    encoder = a_layer(layer, drops)
    attention = f"{IMPORTS}{OWN_DROPOUT}\n\n{head[0]}"
    return RandomPair(seed, attention, encoder, frozenset(head[1]), frozenset(layer.idle))


def a_head(w: Written) -> tuple[tuple[str, set[str]], bool]:
    """A head's class with its idle parameters, and whether it drops its output."""
    arguments = w.chance.choice(HEAD_ARGUMENTS)
    i, d, p = arguments
    w.steps += projections(w, i, d)
    query, key, scaled = scaling(w, d)
    transposed = w.one_of("{}.transpose(-2, -1)", "{}.transpose(1, 2)", "{}.permute(0, 2, 1)",
                          "{}.mT", "torch.transpose({}, -1, -2)").format(key)  # fmt: skip
    product = w.one_of("torch.matmul({}, {})", "({} @ {})", "torch.bmm({}, {})", "{}.matmul({})")
    scores = product.format(query, transposed)
    if w.maybe(0.2):
        scores = f"torch.einsum('{w.one_of('bid,bjd->bij', 'b t d, b s d -> b t s')}', {query}, "
        scores = f"{scores}{key})"
    w.steps += [line.format(scores) for line in scaled]
    w.steps += softmax(w)
    mixed = w.one_of("weights @ v", "torch.matmul(weights, v)", "torch.bmm(weights, v)",
                     "torch.einsum('bij,bjd->bid', weights, v)")  # fmt: skip
    place = w.one_of("out", "out", "weights", "none")
    drop = dropout(w, p, "head_drop") if place != "none" else "{}"
    if place == "weights":
        mixed = mixed.replace("weights", drop.format("weights"), 1)
    w.steps.append(f"out = {drop.format(mixed) if place == 'out' else mixed}")
    unused(w, i, d, in_head=True)
    w.steps.append(w.one_of("return out, weights", "return (out, weights)"))
    return (w.text("SingleHeadAttention", arguments, "One head."), w.idle), place == "out"


def projections(w: Written, i: str, d: str) -> list[str]:
    """The projections in one of many layouts; steps that give q, k and v (B, T, D)."""
    names = w.chance.choice(ROLE_NAMES)
    layout = w.one_of("separate", "separate", "separate", "fused", "fused key and value",
                      "list", "dict", "plain", "stacked", "linear")  # fmt: skip
    if layout == "separate":
        w.made += [f"self.{name} = nn.Linear({i}, {d}, bias=False)" for name in names]
        if w.maybe(0.2):
            w.methods.append(f"def project(self, x):\n    return {calls(names)}")
            return ["q, k, v = self.project(x)"]
        return [f"{short} = self.{name}(x)" for short, name in zip("qkv", names, strict=True)]
    if layout == "fused":
        w.made.append(f"self.qkv = nn.Linear({i}, 3 * {d}, bias=False)")
        order = ", ".join(w.shuffle("qkv")) if w.maybe(0.3) else "q, k, v"
        return [
            w.one_of(
                f"{order} = self.qkv(x).chunk(3, dim=-1)",
                f"{order} = torch.chunk(self.qkv(x), 3, dim=2)",
                f"{order} = self.qkv(x).view(*x.shape[:2], 3, -1).unbind(2)",
                f"{order} = self.qkv(x).reshape(x.size(0), x.size(1), -1, 3).unbind(-1)",
                f"{order} = torch.tensor_split(self.qkv(x), 3, dim=-1)",
            )
        ]
    if layout == "fused key and value":
        w.made += [
            f"self.{names[0]} = nn.Linear({i}, {d}, bias=False)",
            f"self.kv = nn.Linear({i}, {d} * 2, bias=False)",
        ]
        return [f"q = self.{names[0]}(x)", "k, v = self.kv(x).chunk(2, dim=-1)"]
    if layout == "list":
        one = f"nn.Linear({i}, {d}, bias=False)"
        w.made.append(f"self.projections = nn.ModuleList([{one} for _ in range(3)])")
        return ["q, k, v = [project(x) for project in self.projections]"]
    if layout == "dict":
        pairs = ", ".join(f"'{short}': nn.Linear({i}, {d}, bias=False)" for short in "qkv")
        w.made.append(f"self.table = nn.ModuleDict({{{pairs}}})")
        return ["q, k, v = self.table['q'](x), self.table['k'](x), self.table['v'](x)"]
    if layout == "stacked":
        w.made.append(f"self.w = nn.Parameter(torch.randn(3, {i}, {d}) / {i} ** 0.5)")
        return [w.one_of("q, k, v = torch.einsum('btc,nco->nbto', x, self.w)",
                         "q, k, v = (x @ self.w[n] for n in range(3))")]  # fmt: skip
    shape = f"{i}, {d}" if layout == "plain" else f"{d}, {i}"
    w.made += [f"self.{name} = nn.Parameter(0.1 * torch.randn({shape}))" for name in names]
    form = "x @ self.{}" if layout == "plain" else "F.linear(x, self.{})"
    return [f"{short} = {form.format(name)}" for short, name in zip("qkv", names, strict=True)]


def calls(names: Sequence[str]) -> str:
    return ", ".join(f"self.{name}(x)" for name in names)


def scaling(w: Written, d: str) -> tuple[str, str, list[str]]:
    """What stands for query and key in the product, and steps that make `scores` of it."""
    root = w.one_of(
        *(f"self.root = {value}" for value in
          (f"math.sqrt({d})", f"{d} ** 0.5", f"torch.sqrt(torch.tensor(float({d})))",
           f"torch.tensor({d}, dtype=torch.float32) ** 0.5",
           f"nn.Parameter(torch.tensor(sqrt({d})), requires_grad=False)",
           f"nn.Parameter(torch.sqrt(torch.tensor([float({d})])), requires_grad=False)",
           f"nn.Parameter(torch.full((1, 1, 1), {d} ** 0.5), requires_grad=False)")),
        f"self.register_buffer('root', torch.tensor({d} ** 0.5))",
        f"self.register_buffer('root', torch.full((1,), math.sqrt({d})), persistent=False)",
        f"self.width = {d}",
    )  # fmt: skip
    w.made.append(root)
    if w.maybe(0.15):
        w.made.append("self.temperature = nn.Parameter(torch.ones(()), requires_grad=False)")
        w.steps.append(w.one_of("q = q * self.temperature", "q = q / self.temperature"))
    this = "self.root"
    if "width" in root:
        this = w.one_of("math.sqrt(self.width)", "self.width ** 0.5", "q.shape[-1] ** 0.5",
                        "q.size(-1) ** 0.5", "sqrt(k.shape[2])",
                        "torch.sqrt(torch.tensor(k.size(-1), dtype=torch.float32))")  # fmt: skip
        if w.maybe(0.2):
            return "(q / self.width ** 0.25)", "(k * self.width ** -0.25)", ["scores = {}"]
    if w.maybe(0.2):
        return f"(q / {this})", "k", ["scores = {}"]
    return "q", "k", w.chance.choice(
        ([f"scores = {{}} / {this}"], [f"scores = {{}} * (1 / {this})"],
         [f"scores = {{}} * ({this}) ** -1"], ["scores = {}", f"scores = scores.div({this})"],
         ["scores = {}", f"scores /= {this}"], [f"scores = torch.div({{}}, {this})"])
    )  # fmt: skip


def softmax(w: Written) -> list[str]:
    """Steps that make `weights` of `scores`."""
    form = w.one_of("F.softmax(scores, dim=-1)", "torch.softmax(scores, dim=2)", "self.softmax",
                    "scores.softmax(dim=-1)", "nn.Softmax(dim=-1)(scores)", "by hand")  # fmt: skip
    if form == "self.softmax":
        w.made.append(f"self.softmax = nn.Softmax({w.one_of('dim=-1', 'dim=2', '-1')})")
        return ["weights = self.softmax(scores)"]
    if form == "by hand":
        return [
            "powers = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)",
            "weights = powers / powers.sum(dim=-1, keepdim=True)",
        ]
    return [f"weights = {form}"]


def dropout(w: Written, p: str, name: str) -> str:
    """A dropout as a call to fill in; what it needs is made."""
    kind = w.one_of("module", "module", "functional", "by hand")
    if kind == "functional":
        w.made.append(f"self.{name}_p = {p}")
        return w.one_of(
            f"F.dropout({{}}, self.{name}_p, self.training)",
            f"F.dropout({{}}, p=self.{name}_p, training=self.training)",
            f"torch.dropout({{}}, self.{name}_p, self.training)",
        )
    w.made.append(f"self.{name} = {'Drop' if kind == 'by hand' else 'nn.Dropout'}({p})")
    return f"self.{name}({{}})"


def unused(w: Written, i: str, d: str, in_head: bool) -> None:
    """Sometimes something that is made and never used."""
    for _ in range(w.chance.choice((0, 0, 1, 2))):
        name = w.one_of("extra", "spare", "old", "to_out")
        if any(f"self.{name} " in statement for statement in w.made):
            continue
        kind = w.one_of("linear", "linear", "number", "frozen number", "vector", "dropout", "norm")
        if kind == "linear":
            bias = w.maybe()
            shape = w.one_of(f"{i}, {d}", f"{d}, {i}", f"{d}, {d}", f"{i}, 10", f"{i}, {i}")
            w.made.append(f"self.{name} = nn.Linear({shape}, bias={bias})")
            w.idle |= {f"{name}.weight"} | ({f"{name}.bias"} if bias else set())
        elif kind == "vector":
            w.made.append(f"self.{name} = nn.Parameter(torch.zeros({d}))")
            w.idle.add(name)
        elif kind == "norm" and not in_head:
            w.made.append(f"self.{name} = nn.LayerNorm({i})")
            w.idle |= {f"{name}.weight", f"{name}.bias"}
        elif kind == "dropout":
            w.made.append(f"self.{name} = nn.Dropout(0.3)")
        elif kind == "frozen number":
            w.made.append(f"self.{name} = nn.Parameter(torch.ones(1), requires_grad=False)")
        else:
            w.made.append(f"self.{name} = nn.Parameter(torch.zeros(()))")


def a_layer(w: Written, head_drops: bool) -> str:
    """encoder.py, over heads that drop their output, or don't."""
    arguments = w.chance.choice(LAYER_ARGUMENTS)
    dim, _, _, hidden, p = arguments
    name = w.one_of("ViTLayer", "ViTLayer", "TransformerEncoderLayer")
    normed, gone_on = norms(w, dim)
    attended, projected = attention(w, arguments, head_drops)
    residual = w.one_of("x = x + {}", "x = {} + x", "x = torch.add(x, {})", "x = ({}).add(x)")
    w.steps += [f"h = {normed}", *attended, residual.format(projected)]
    w.steps += [f"h = {gone_on}", *mlp(w, dim, hidden, p)]
    w.steps += [residual.format("h"), "return x, maps"]
    unused(w, dim, hidden, in_head=False)
    text = w.text(name, arguments, "A pre-norm encoder layer.")
    given = "from attention import SingleHeadAttention\nfrom provided.multi_head import Attention\n"
    return f"{IMPORTS}\n{given}{OWN_DROPOUT}{OWN_NORM}\n\n{text}"


def norms(w: Written, dim: str) -> tuple[str, str]:
    """Two norms; the expressions that normalise x with each."""
    one, two = w.chance.choice(
        (("norm1", "norm2"), ("ln_1", "ln_2"), ("before", "after"), ("n2", "n1"))
    )
    kind = w.one_of("module", "module", "module", "list", "by hand", "functional")
    if kind == "functional":
        for name in (one, two):
            w.made.append(
                f"self.{name}_g = nn.Parameter(torch.ones({dim}))\n"
                f"self.{name}_b = nn.Parameter(torch.zeros({dim}))"
            )
        form = "F.layer_norm(x, (x.shape[-1],), self.{0}_g, self.{0}_b)"
        return form.format(one), form.format(two)
    eps = w.one_of("", ", eps=1e-6", ", eps=1e-5", ", eps=1e-12") if kind != "by hand" else ""
    if kind == "list":
        w.made.append(f"self.norms = nn.ModuleList([nn.LayerNorm({dim}{eps}) for _ in range(2)])")
        return "self.norms[0](x)", "self.norms[1](x)"
    build = "Norm" if kind == "by hand" else "nn.LayerNorm"
    w.made += [f"self.{name} = {build}({dim}{eps})" for name in (one, two)]
    return f"self.{one}(x)", f"self.{two}(x)"


def attention(w: Written, arguments: Sequence[str], head_drops: bool) -> tuple[list[str], str]:
    """The heads and W_O; steps up to `h` and `maps`, and what the branch adds."""
    dim, heads, size, _, p = arguments
    place = w.one_of("concatenation", "projected", "projected", *(["heads"] if head_drops else []))
    share = p if place == "heads" or w.maybe(0.4) else "0.0"
    if w.maybe(0.3):
        one = f"SingleHeadAttention({dim}, {size}, {share})"
        w.made.append(f"self.heads = nn.ModuleList([{one} for _ in range({heads})])")
        steps = [
            "results = [head(h) for head in self.heads]",
            "h = torch.cat([out for out, _ in results], dim=-1)",
            f"maps = torch.stack([m for _, m in results], {w.one_of('dim=1', 'dim=0', '1')})",
        ]
    else:
        given = w.one_of(f"{dim}, {heads}, {size}, {share}",
                         f"{dim}, heads={heads}, dim_head={size}, dropout={share}")  # fmt: skip
        w.made.append(f"self.attention = Attention({given})")
        steps = ["h, maps = self.attention(h)"]
    if place == "concatenation":
        steps.append(f"h = {dropout(w, p, 'attention_drop').format('h')}")
    drop = dropout(w, p, "attention_drop") if place == "projected" else "{}"
    if w.maybe(0.15):
        w.made.append(f"self.w_o = nn.Parameter(0.1 * torch.randn({heads} * {size}, {dim}))")
        return steps, drop.format(w.one_of("h @ self.w_o", "torch.matmul(h, self.w_o)"))
    w.made.append(f"self.out = nn.Linear({heads} * {size}, {dim}, bias=False)")
    return steps, drop.format("self.out(h)")


def mlp(w: Written, dim: str, hidden: str, p: str) -> list[str]:
    """Linear, ReLU, Linear with two dropouts; steps that turn `h` into what the branch adds."""
    bias = w.one_of("", "", ", bias=False")
    first, second = f"nn.Linear({dim}, {hidden}{bias})", f"nn.Linear({hidden}, {dim}{bias})"
    before = w.maybe(0.3)
    if w.maybe(0.4):
        middle = ["nn.Dropout({p})", "nn.ReLU()"] if before else ["nn.ReLU()", "nn.Dropout({p})"]
        parts = [first, *(one.format(p=p) for one in middle), second, f"nn.Dropout({p})"]
        w.made.append(f"self.mlp = nn.Sequential({', '.join(parts)})")
        return ["h = self.mlp(h)"]
    w.made += [f"self.{name} = {build}" for name, build in (("fc1", first), ("fc2", second))]
    relu = w.one_of("F.relu({})", "torch.relu({})", "{}.relu()", "{}.clamp(min=0)")
    if w.maybe(0.3):  # one Dropout for both places
        inside = last = dropout(w, p, "mlp_drop")
    else:
        inside, last = dropout(w, p, "inner_drop"), dropout(w, p, "last_drop")
    inner = "self.fc1(h)"
    inner = relu.format(inside.format(inner)) if before else inside.format(relu.format(inner))
    return [f"h = {inner}", f"h = {last.format('self.fc2(h)')}"]
