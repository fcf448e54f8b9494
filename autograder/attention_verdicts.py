"""From evidence to verdict, for the attention head and the encoder layer."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder import reference
from autograder.comparison import Difference, compare, well_formed
from autograder.feedback import Feedback, Rejected, of_worker_error, reject
from autograder.probing import (
    Branches,
    HeadCase,
    HeadProbe,
    LayerProbe,
)
from autograder.reference import ACTIVATIONS
from autograder.sandbox.client import WorkerError
from autograder.sandbox.replies import ModuleReply
from autograder.verdicts import check_rows

__all__ = ["check_rows"]  # the suites of question 3 find all their verdicts here

ATTENTION_ADDS = 1.0  # what the constant attention branch of probing.constant_branch gives
MLP_ADDS = 1.0
BIAS_ADDS = 10.0
INPUT = 100.0


def right(note: str) -> Feedback:
    """Full points, with a note where there is something to know."""
    return Feedback("Right.").noting(note)


def check_head_parts(parts: ModuleReply) -> None:
    """No biases, and only allowed layers inside the constructed head."""
    allowed = {"Linear", "Softmax", "Dropout"}
    neutral = {"ModuleList", "ModuleDict", "Sequential", "Identity"}
    foreign = [
        f"{part.kind} ({part.path})"
        for part in parts.modules
        if part.from_torch and part.kind not in allowed | neutral
    ]
    if foreign:
        raise reject(
            f"The head contains {', '.join(foreign[:3])}.",
            expected="only nn.Linear, nn.Softmax and nn.Dropout",
        )
    biases = [p.name for p in parts.parameters if p.name.rpartition(".")[2] == "bias"]
    biases += [p.name for p in parts.parameters if len(p.shape) == 1 and p.name not in biases]
    if biases:
        raise reject(
            f"The projections have biases: {', '.join(biases[:3])}.",
            expected="nn.Linear(..., bias=False) for query, key and value",
            next_step="Only this line is lost: the other lines compare with biases included.",
        )


def check_head_values(probe: HeadProbe) -> None:
    """The output equals the reference's under one reading of the parameters."""
    _need_candidates(probe.candidates, probe.roles_problem, "SingleHeadAttention")
    difference = probe.closest(probe.base)
    if difference is not None:
        raise reject(
            f"The output {difference.text}.",
            expected="softmax(Q Kᵀ / √inner_dim) V, with your own weights",
            next_step="Work a tiny case by hand: two tokens, two numbers each.",
        )


def check_head_gradients(probe: HeadProbe) -> None:
    """Gradients of the input and each parameter equal the reference's."""
    _need_candidates(probe.candidates, probe.roles_problem, "SingleHeadAttention")
    if not probe.base.gradients:
        raise reject("Gradients could not be computed, as the output has not the right shape.")
    roles = probe.roles or probe.candidates[0]
    base = probe.base
    leaves = {name: value.clone().requires_grad_() for name, value in base.values.items()}
    x = base.x.clone().requires_grad_()
    out = reference.head(x, roles.parameters(leaves)).out
    _compare_gradients(out, base.upstream, {"x": x, **leaves}, base.gradients)


def check_head_case(probe: HeadProbe, case: HeadCase | WorkerError | None, what: str) -> None:
    """One further case equals the reference's, under the reading that the base case settled."""
    if isinstance(case, WorkerError):
        raise Rejected(of_worker_error(case))
    assert case is not None
    _need_candidates(probe.candidates, probe.roles_problem, "SingleHeadAttention")
    roles = probe.roles or probe.candidates[0]
    shape = f"x of shape {tuple(case.x.shape)}, inner_dim {case.size.inner_dim}"
    problem = well_formed(case.out, case.out_shape) or probe.difference(case, roles)
    if problem is not None:
        raise reject(
            f"With {what} ({shape}) the output {problem.text}.",
            likely=_likely_for(case, what, probe),
        )


def check_float64(probe: HeadProbe) -> None:
    """The head computes in the precision of its input and weights."""
    problem = probe.float64_problem
    if isinstance(problem, WorkerError):
        raise Rejected(of_worker_error(problem))
    if problem is not None:
        raise reject(
            f"In float64 the output {problem.text}.",
            likely="a tensor that is made, or cast, as float32 on the way",
        )


def check_residuals(probe: LayerProbe) -> None:
    """With both branches silenced the input comes out unchanged."""
    _need_candidates(probe.candidates, probe.roles_problem, "ViTLayer")
    case = probe.silent_branches
    assert case is not None
    difference = compare(case.out, case.x)
    if difference is not None:
        raise reject(
            "The input does not come through both residual connections.",
            got=f"with W_O and the MLP's last Linear at zero, the output {difference.text} "
            "from the input",
            expected="exactly the input",
            likely="a residual connection is missing, counted twice, or taken after the norm",
        )


def check_layer_values(probe: LayerProbe, note: str) -> None:
    """The output equals the reference's; another activation is line 3b.4's business."""
    _need_candidates(probe.candidates, probe.roles_problem, "ViTLayer")
    if probe.matched is None:
        difference = probe.closest()
        assert difference is not None
        raise Rejected(
            Feedback(
                f"The output {difference.text}.",
                expected="x + W_O·heads(norm(x)), then that + MLP(norm(that))",
                next_step="Follow one token by hand: what is normalised, what is added to what?",
            ).noting(note)
        )


def check_layer_gradients(probe: LayerProbe) -> None:
    """Gradients of the input and each parameter equal the reference's."""
    _need_candidates(probe.candidates, probe.roles_problem, "ViTLayer")
    base = probe.base
    if not base.gradients:
        raise reject("Gradients could not be computed, as the output has not the right shape.")
    roles, activation = probe.matched or (probe.candidates[0], "ReLU")
    leaves = {name: value.clone().requires_grad_() for name, value in base.values.items()}
    x = base.x.clone().requires_grad_()
    out = reference.encoder_layer(x, roles.parameters(leaves), activation).out
    _compare_gradients(out, base.upstream, {"x": x, **leaves}, base.gradients)


def check_layer_structure(probe: LayerProbe) -> None:
    """W_O without bias, and ReLU between the MLP's two Linear layers."""
    _need_candidates(probe.candidates, probe.roles_problem, "ViTLayer")
    biased = probe.candidates[0].output_bias
    if biased is not None:
        raise reject(
            f"W_O has a bias: {biased}.",
            expected="nn.Linear(heads * dim_head, dim, bias=False)",
            next_step="Only this line is lost: the other lines compare with the bias included.",
        )
    activation = probe.matched[1] if probe.matched else probe.activation
    if activation not in ("ReLU", None):
        raise reject(
            f"Between the MLP's two Linear layers there is {activation}.",
            expected="Linear, ReLU, Linear",
            next_step="Only this line is lost: the other lines compare with your activation.",
        )
    if activation is None:
        raise reject(
            "The MLP is not Linear, ReLU, Linear.",
            got=f"none of {', '.join(ACTIVATIONS)} between the two gives your numbers",
        )


def check_layer_dropout(probe: LayerProbe) -> None:
    """Dropout at all three places while training, at none in evaluation."""
    _need_candidates(probe.candidates, probe.roles_problem, "ViTLayer")
    places = {"after the attention": probe.attention_dropout}
    both = {**places, "in the MLP": probe.mlp_dropout}
    for branches in both.values():
        if isinstance(branches, WorkerError):
            raise Rejected(of_worker_error(branches))
    attention, mlp = probe.attention_dropout, probe.mlp_dropout
    assert isinstance(attention, Branches)
    assert isinstance(mlp, Branches)
    if len(attention.evaluation) > 1 or len(mlp.evaluation) > 1:
        raise reject(
            "Dropout is active in evaluation too.",
            expected="nn.Dropout, or functional.dropout with training=self.training",
        )
    missing = [] if _attention_drops(attention) else ["after the attention"]
    missing += _missing_in_mlp(probe, mlp)
    if missing:
        raise reject(
            f"Dropout is missing {' and '.join(missing)}.",
            expected="dropout after the attention, inside the MLP and after it",
            next_step="Give your layer's `dropout` to each of the three.",
        )


def _attention_drops(branches: Branches) -> bool:
    """Whether the constant attention branch varies while training, the rest left alone."""
    added = [{value - base for value in branches.training} for base in (INPUT, 0.0)]
    return len(branches.training) > 1 and any(
        all(0 <= value <= INPUT / 2 for value in values) for values in added
    )


def _missing_in_mlp(probe: LayerProbe, branches: Branches) -> list[str]:
    """Which of the MLP's two places has no dropout, read off the branch's known values.

    With p = 1/2 a kept number doubles: dropout inside turns 1 into 0 or 2, dropout after
    turns the sum with the bias 10 into 0 or its double.
    """
    has_bias = probe.candidates[0].second_bias is not None
    bias = BIAS_ADDS if has_bias else 0.0
    kept = {0.0, 2 * MLP_ADDS}
    patterns = {
        frozenset({0.0} | {2 * (one + bias) for one in kept}): [],
        frozenset({0.0, 2 * (MLP_ADDS + bias)}): ["inside the MLP"],
        frozenset(one + bias for one in kept): ["after the MLP"],
        frozenset({MLP_ADDS + bias}): ["inside the MLP", "after the MLP"],
    }
    for base in (INPUT, 0.0):
        found = patterns.get(frozenset(round(value - base, 4) for value in branches.training))
        if found is not None:
            return found
    return _missing_by_count(probe)


def _missing_by_count(probe: LayerProbe) -> list[str]:
    """Where the numbers can't show it (a norm behind the sum hides them): count the modules."""
    outside = [
        part
        for part in probe.parts.modules
        if part.kind == "Dropout" and ".heads." not in f".{part.path}."
    ]
    return [] if len(outside) >= 2 else ["at one place or more"]


def _compare_gradients(
    out: Tensor, upstream: Tensor, leaves: dict[str, Tensor], got: dict[str, Tensor]
) -> None:
    expected = torch.autograd.grad(out, list(leaves.values()), upstream, allow_unused=True)
    missing, wrong = [], []
    worst: Difference | None = None
    for (name, leaf), gradient in zip(leaves.items(), expected, strict=True):
        reference_gradient = torch.zeros_like(leaf) if gradient is None else gradient
        mine = got.get(name)
        difference = Difference("is missing") if mine is None else compare(mine, reference_gradient)
        if difference is None:
            continue
        wrong.append(name)
        worst = worst or difference
        if mine is not None and not mine.any():
            missing.append(name)
    if missing:
        raise reject(
            f"No gradient reaches {', '.join(missing[:4])}.",
            likely="detach(), .data, .item(), no_grad or a new tensor cuts the graph on the way",
        )
    if wrong and worst is not None:
        raise reject(
            f"The gradient of {', '.join(wrong[:4])} is not right: it {worst.text}.",
            likely="the output is not right either, or a part of it is detached from the graph",
        )


def _need_candidates(candidates: object, problem: str, name: str) -> None:
    if not candidates:
        raise reject(f"The parameters of {name} are not what is expected.", got=problem)


def _likely_for(case: HeadCase, what: str, probe: HeadProbe) -> str:
    if not probe.is_right:
        return "the same as on line 3a.4"
    if what == "large scores":
        return "exp overflows: use nn.Softmax, or subtract each row's maximum first"
    return "a number that is fixed to one size; take it from the input's shape or from inner_dim"
