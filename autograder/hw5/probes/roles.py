"""Which of a submission's parameters plays which role, whatever their names are.

Roles are found by shape; the sizes that questions are asked with all differ, so a shape
says most. Where shapes agree (query, key and value; the two norms) every assignment is a
candidate, likeliest by name first, and the one that reproduces the student's numbers wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product

from torch import Tensor

from autograder.hw5.probes.reference import (
    LAYER_NORM_EPS,
    HeadParameters,
    LayerParameters,
    NormParameters,
)

IN_A_LIST = re.compile(r"\d\..")  # within the name of a parameter of one of several heads
NAME_HINTS = {"query": "q", "key": "k", "value": "v"}


Vectors = tuple[str | None, str | None]


class RolesUnclear(Exception):
    """The parameters don't fit the module; says what is missing or surplus."""


@dataclass(frozen=True)
class Block:
    """A (D, I) projection inside a parameter: which rows, and whether it stands transposed."""

    parameter: str
    part: int  # 0, 1, 2 of a fused parameter, in its order
    parts: int
    interleaved: bool = False
    transposed: bool = False
    bias: str | None = None

    def weight(self, values: Mapping[str, Tensor]) -> Tensor:
        """The projection (D, I), cut out of the parameter's value."""
        value = values[self.parameter]
        if value.dim() == 3:
            value = value[self.part]
            return value.T if self.transposed else value
        if self.transposed:
            value = value.T
        return self._rows(value)

    def bias_value(self, values: Mapping[str, Tensor]) -> Tensor | None:
        """Its bias (D,), or None."""
        return None if self.bias is None else self._rows(values[self.bias])

    def _rows(self, value: Tensor) -> Tensor:
        if self.interleaved:
            return value[self.part :: self.parts]
        size = value.shape[0] // self.parts
        return value[self.part * size : (self.part + 1) * size]


@dataclass(frozen=True)
class HeadRoles:
    """One way to read a head's parameters as query, key and value."""

    query: Block
    key: Block
    value: Block

    def parameters(self, values: Mapping[str, Tensor]) -> HeadParameters:
        """The reference's parameters, cut out of the student's (differentiably)."""
        return HeadParameters(
            query=self.query.weight(values),
            key=self.key.weight(values),
            value=self.value.weight(values),
            query_bias=self.query.bias_value(values),
            key_bias=self.key.bias_value(values),
            value_bias=self.value.bias_value(values),
        )


def head_candidates(
    shapes: Mapping[str, tuple[int, ...]], input_dim: int, inner_dim: int
) -> list[HeadRoles]:
    """Every reading of a head's parameters, the likeliest by name first.

    Raises RolesUnclear where they aren't three projections of input_dim to inner_dim.
    """
    blocks, unused = _head_blocks(shapes, input_dim, inner_dim)
    if len(blocks) != 3 or unused:
        raise RolesUnclear(_why_not_a_head(blocks, unused, shapes, input_dim, inner_dim))
    readings = []
    for interleaved in (False, True) if any(block.parts > 1 for block in blocks) else (False,):
        these = [
            Block(b.parameter, b.part, b.parts, interleaved and b.parts > 1, b.transposed, b.bias)
            for b in blocks
        ]
        readings += [HeadRoles(*order) for order in permutations(these)]
    return sorted(readings, key=_name_distance)


def loose_head_candidates(
    shapes: Mapping[str, tuple[int, ...]], input_dim: int, inner_dim: int
) -> list[HeadRoles]:
    """Readings of a head that is wrongly built: one projection may play several roles.

    They are for naming a mistake, never for giving points. Empty where nothing fits.
    """
    blocks, unused = _head_blocks(shapes, input_dim, inner_dim)
    if unused or not 1 <= len(blocks) < 3:
        return []
    readings = [HeadRoles(*chosen) for chosen in product(blocks, repeat=3)]
    return sorted(readings, key=_name_distance)


def _head_blocks(
    shapes: Mapping[str, tuple[int, ...]], input_dim: int, inner_dim: int
) -> tuple[list[Block], list[str]]:
    blocks: list[Block] = []
    vectors = {name for name, shape in shapes.items() if len(shape) == 1}
    biases = set(vectors)
    unused = []
    for name, shape in shapes.items():
        if name in vectors:
            continue
        found = _split(shape, input_dim, inner_dim)
        if found is None:
            unused.append(name)
            continue
        parts, transposed = found
        bias = _bias_of(name, parts * inner_dim, shapes)
        biases.discard(bias or "")
        blocks += [Block(name, part, parts, False, transposed, bias) for part in range(parts)]
    return blocks, unused + sorted(biases)


def _split(shape: tuple[int, ...], input_dim: int, inner_dim: int) -> tuple[int, bool] | None:
    """How many projections a parameter of this shape holds, and whether transposed."""
    for parts in (1, 2, 3):
        if shape == (parts * inner_dim, input_dim):
            return parts, False
        if shape == (input_dim, parts * inner_dim):
            return parts, True
        if parts > 1 and shape == (parts, inner_dim, input_dim):
            return parts, False
        if parts > 1 and shape == (parts, input_dim, inner_dim):
            return parts, True
    return None


def _bias_of(weight: str, size: int, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    prefix, _, last = weight.rpartition(".")
    bias = f"{prefix}.bias" if last == "weight" else f"{weight}_bias"
    return bias if shapes.get(bias) == (size,) else None


def _why_not_a_head(
    blocks: list[Block],
    unused: list[str],
    shapes: Mapping[str, tuple[int, ...]],
    input_dim: int,
    inner_dim: int,
) -> str:
    has = ", ".join(f"{name} {list(shape)}" for name, shape in list(shapes.items())[:8]) or "none"
    wants = f"query, key and value, each a projection of {input_dim} to {inner_dim} numbers"
    if unused:
        return (
            f"The head has parameters of unexpected shape ({', '.join(unused[:3])}). "
            f"It needs {wants}; it has {has}."
        )
    count = f"{len(blocks)} projection{'' if len(blocks) == 1 else 's'}"
    return f"The head has {count} where it needs three: {wants}. It has {has}."


def _name_distance(roles: HeadRoles) -> tuple[int, bool]:
    """How badly names speak against a reading; order of definition breaks ties."""
    distance = 0
    for place, (role, letter) in enumerate(NAME_HINTS.items()):
        block: Block = getattr(roles, role)
        parts = [part for part in block.parameter.lower().replace("_", ".").split(".") if part]
        if block.parts > 1:
            distance += block.part != place - (3 - block.parts)
        elif not any(part == letter or part[0] == letter or part[-1] == letter for part in parts):
            distance += 1
    return distance, roles.query.interleaved


@dataclass(frozen=True)
class LayerRoles:
    """One way to read an encoder layer's parameters; the names of what plays each role."""

    heads: tuple[tuple[str, HeadRoles], ...]  # prefix of each head's parameters, and its roles
    output: str
    output_bias: str | None
    norms: tuple[Vectors, Vectors]  # each with the names of its scale and shift
    first: str
    first_bias: str | None
    second: str
    second_bias: str | None
    output_transposed: bool = False  # a plain matrix (H·D, I), used as heads @ W_O
    eps: float = LAYER_NORM_EPS

    def parameters(self, values: Mapping[str, Tensor]) -> LayerParameters:
        """The reference's parameters, taken from the student's (differentiably)."""

        def get(name: str | None) -> Tensor | None:
            return None if name is None else values[name]

        return LayerParameters(
            heads=tuple(roles.parameters(below(values, prefix)) for prefix, roles in self.heads),
            output=values[self.output].T if self.output_transposed else values[self.output],
            output_bias=get(self.output_bias),
            norms=(
                NormParameters(get(self.norms[0][0]), get(self.norms[0][1]), self.eps),
                NormParameters(get(self.norms[1][0]), get(self.norms[1][1]), self.eps),
            ),
            first=values[self.first],
            first_bias=get(self.first_bias),
            second=values[self.second],
            second_bias=get(self.second_bias),
        )

    def with_heads(self, count: int, roles: HeadRoles) -> LayerRoles | None:
        """The same layer with another number of heads, read in another way.

        None where the names of its heads don't count up from 0.
        """
        stem = self.heads[0][0].removesuffix("0.")
        if [prefix for prefix, _ in self.heads] != [f"{stem}{i}." for i in range(len(self.heads))]:
            return None
        return replace(self, heads=tuple((f"{stem}{i}.", roles) for i in range(count)))


def layer_candidates(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dim: int,
    heads: int,
    dim_head: int,
    mlp_dim: int,
    head_roles: HeadRoles,
    loose: bool = False,
) -> Iterator[LayerRoles]:
    """Every reading of an encoder layer's parameters. Raises RolesUnclear.

    head_roles: how the parameters of each of its heads are read
    loose:      with one norm; for naming a mistake, never for giving points
    """
    prefixes = _head_prefixes(shapes, head_roles)
    if len(prefixes) != heads:
        raise RolesUnclear(
            f"It holds {len(prefixes)} attention heads, expected {heads}: use Attention "
            "from provided/multi_head.py, once and with all heads."
        )
    odd = [prefix for prefix in prefixes if not _fits(shapes, prefix, head_roles, dim, dim_head)]
    if odd:
        raise RolesUnclear(f"The parameters below {odd[0]} are not those of an attention head.")
    rest = {
        name: shape
        for name, shape in shapes.items()
        if not any(name.startswith(prefix) for prefix in prefixes)
    }
    output, transposed = _output(rest, dim, heads * dim_head)
    for first, second in _mlp_pairs(rest, output, dim, mlp_dim):
        sizes = ((output, dim), (first, rest[first][0]), (second, dim))
        biases = [_bias_of(name, size, rest) for name, size in sizes]
        used = {output, first, second, *biases}
        vectors = [name for name in rest if name not in used]
        for norms in _norm_orders(vectors, rest, dim, loose):
            yield LayerRoles(
                heads=tuple((prefix, head_roles) for prefix in prefixes),
                output=output,
                output_bias=biases[0],
                norms=norms,
                first=first,
                first_bias=biases[1],
                second=second,
                second_bias=biases[2],
                output_transposed=transposed,
            )


def _head_prefixes(shapes: Mapping[str, tuple[int, ...]], roles: HeadRoles) -> list[str]:
    wanted = roles.query.parameter
    prefixes = []
    for name in shapes:
        if name.endswith(f".{wanted}") and IN_A_LIST.search(name):
            prefixes.append(name.removesuffix(wanted))
    return prefixes


def _fits(
    shapes: Mapping[str, tuple[int, ...]], prefix: str, roles: HeadRoles, dim: int, dim_head: int
) -> bool:
    """Whether a head's projections are there, in the shapes that its reading needs."""
    return all(
        _split(shapes.get(f"{prefix}{block.parameter}", ()), dim, dim_head)
        == (block.parts, block.transposed)
        for block in (roles.query, roles.key, roles.value)
    )


def _only(shapes: Mapping[str, tuple[int, ...]], shape: tuple[int, ...], what: str) -> str:
    names = [name for name, own in shapes.items() if own == shape]
    if len(names) != 1:
        raise RolesUnclear(
            f"{what[:1].upper()}{what[1:]} should be one weight of shape {list(shape)}; "
            f"it has {len(names)} of that shape."
        )
    return names[0]


def _output(shapes: Mapping[str, tuple[int, ...]], dim: int, inner: int) -> tuple[str, bool]:
    """W_O, and whether it stands as a plain matrix to multiply with from the left."""
    plain = [name for name, shape in shapes.items() if shape == (inner, dim)]
    if len(plain) == 1 and (dim, inner) not in shapes.values():
        return plain[0], True
    return _only(shapes, (dim, inner), "W_O, which maps the heads back to dim,"), False


def _mlp_pairs(
    shapes: Mapping[str, tuple[int, ...]], output: str, dim: int, mlp_dim: int
) -> list[tuple[str, str]]:
    """The MLP's two weights: those with mlp_dim hidden units, else any two that fit together."""
    weights = [name for name, shape in shapes.items() if len(shape) == 2 and name != output]
    if len(weights) == 2:
        pairs = [
            (first, second)
            for first, second in permutations(weights, 2)
            if shapes[first] == shapes[second][::-1] and shapes[second][0] == dim
        ]
        if pairs:
            return pairs
    first = _only(shapes, (mlp_dim, dim), "the MLP's first Linear")
    return [(first, _only(shapes, (dim, mlp_dim), "the MLP's second Linear"))]


def _norm_orders(
    vectors: list[str], shapes: Mapping[str, tuple[int, ...]], dim: int, loose: bool
) -> Iterator[tuple[Vectors, Vectors]]:
    wrong = [name for name in vectors if shapes[name] != (dim,)]
    if wrong or len(vectors) > 4:
        raise RolesUnclear(
            "It has parameters that an encoder layer doesn't need: "
            f"{', '.join((wrong or vectors)[:4])}."
        )
    if loose and len(vectors) == 2:
        for weight, bias in permutations(vectors):
            yield ((weight, bias), (weight, bias))
    if loose:
        return
    if not vectors:
        yield ((None, None), (None, None))  # norms without scale and shift
        return
    pairs = _named_pairs(vectors)
    if pairs is not None:
        yield (pairs[0], pairs[1])
        yield (pairs[1], pairs[0])
        return
    if len(vectors) == 4:
        for a, b, c, d in permutations(vectors):
            yield ((a, b), (c, d))
        return
    raise RolesUnclear(
        f"It should have two LayerNorms; these parameters are left for them: "
        f"{', '.join(vectors) or 'none'}."
    )


def _named_pairs(vectors: list[str]) -> list[Vectors] | None:
    """The (weight, bias) pairs of two nn.LayerNorms, or None where names don't show them."""
    prefixes = dict.fromkeys(name.rpartition(".")[0] for name in vectors)
    if len(prefixes) != 2 or not all(
        name.rpartition(".")[2] in ("weight", "bias") for name in vectors
    ):
        return None
    return [
        (
            f"{prefix}.weight" if f"{prefix}.weight" in vectors else None,
            f"{prefix}.bias" if f"{prefix}.bias" in vectors else None,
        )
        for prefix in prefixes
    ]


def below(values: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }
