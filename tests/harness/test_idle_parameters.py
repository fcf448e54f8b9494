"""Parameters that do nothing play no role and cost nothing; constants and learned numbers."""

from __future__ import annotations

import pytest

from autograder.hw5.mistakes.program import with_own_heads
from autograder.hw5.probes.vit import JudgedBy
from autograder.staff.solutions import load_solutions

from .conftest import REFERENCE
from .local_grading import examine, examine_files, judge, suite_tests

LINES = {number for number in suite_tests() if number.startswith(("3a", "3b"))}
SCALE = "self.scale = 1 / math.sqrt(inner_dim)"
VALUE = "1 / math.sqrt(inner_dim)"
NORM = "self.mlp_norm = nn.LayerNorm(dim)"


def head(*changes):
    return edited("attention.py", *changes)


def layer(*changes):
    return edited("encoder.py", *changes)


def edited(name, *changes):
    """The reference's file with some texts replaced."""
    text = (REFERENCE / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return {name: text}


def made_too(statement):
    return SCALE, f"{SCALE}\n        {statement}"


def around_norm(before="", after=""):
    return NORM, "\n        ".join(filter(None, (before, NORM, after)))


def graded(files):
    with examine_files(files) as (solution, exam):
        outcome = judge(solution, exam, LINES & {n for n in LINES if n[:2] in parts(files)})
        probe = exam.head.get() if "attention.py" in files else exam.layer.get()
    return outcome, probe


def parts(files):
    return {"3a"} if "attention.py" in files else {"3b"}


EXTRA = {"extra.weight", "extra.bias"}
IDLE = {
    "a Linear of the projections' shape": (
        head(made_too("self.extra = nn.Linear(input_dim, inner_dim, bias=False)")),
        {"extra.weight"},
    ),
    "a Linear with a bias": (head(made_too("self.extra = nn.Linear(inner_dim, 4)")), EXTRA),
    "a fourth projection, made first": (
        head(
            ("self.query =", "self.extra = nn.Linear(input_dim, inner_dim)\n        self.query =")
        ),
        EXTRA,
    ),
    "a vector": (head(made_too("self.extra = nn.Parameter(torch.zeros(inner_dim))")), {"extra"}),
    "a frozen matrix": (
        head(made_too("self.e = nn.Parameter(torch.eye(inner_dim), requires_grad=False)")),
        {"e"},
    ),
    "a third norm before the others": (
        layer(
            (
                "self.attention_norm =",
                "self.extra = nn.LayerNorm(dim)\n        self.attention_norm =",
            )
        ),
        EXTRA,
    ),
    "a third norm between the others": (
        layer(around_norm("self.extra = nn.LayerNorm(dim)")),
        EXTRA,
    ),
    "a third norm behind the others": (
        layer(around_norm(after="self.extra = nn.LayerNorm(dim)")),
        EXTRA,
    ),
    "a Linear as large as W_O": (
        layer(around_norm("self.extra = nn.Linear(heads * dim_head, dim)")),
        EXTRA,
    ),
    "a Linear as large as the MLP's first": (
        layer(around_norm("self.extra = nn.Linear(dim, mlp_dim)")),
        EXTRA,
    ),
    "heads once more": (
        layer(around_norm("self.extra = Attention(dim, heads, dim_head)")),
        {f"extra.heads.{n}.{role}.weight" for n in range(3) for role in ("query", "key", "value")},
    ),
}


@pytest.mark.parametrize(("files", "names"), IDLE.values(), ids=IDLE.keys())
def test_what_does_nothing_is_found_and_costs_nothing(files, names):
    outcome, probe = graded(files)
    assert outcome.lost == []
    assert probe.idle == names
    (note,) = [line.text for line in outcome.lines.values() if "No result depends" in line.text]
    assert sorted(names)[0] in note


SCALES = {
    "frozen": f"self.scale = nn.Parameter(torch.tensor({VALUE}), requires_grad=False)",
    "frozen, in a list": f"self.scale = nn.Parameter(torch.tensor([{VALUE}]), requires_grad=False)",
    "a buffer": f"self.register_buffer('scale', torch.tensor({VALUE}))",
    "learned in name only": (
        f"self.s = nn.Parameter(torch.tensor({VALUE})); self.scale = self.s.item()"
    ),
    "an unused number beside": f"{SCALE}; self.t = nn.Parameter(torch.ones(1))",
    "an unused Dropout beside": f"{SCALE}; self.drop2 = nn.Dropout(0.3)",
}


@pytest.mark.parametrize("made", SCALES.values(), ids=SCALES.keys())
def test_a_constant_is_a_constant_however_it_is_kept(made):
    outcome, probe = graded(head((SCALE, made)))
    assert outcome.lost == []
    assert probe.idle == frozenset()
    assert probe.trained == ()


def test_a_frozen_temperature_of_one_changes_nothing():
    frozen = "self.t = nn.Parameter(torch.ones(()), requires_grad=False)"
    outcome, _ = graded(head(made_too(frozen), ("* self.scale", "* self.scale / self.t")))
    assert outcome.lost == []


@pytest.mark.parametrize("shape", ["()", "(1,)", "(1, 1)"])
def test_a_learned_scale_costs_the_line_of_the_rules_and_is_no_bias(shape):
    made = f"self.scale = nn.Parameter(torch.full({shape}, {VALUE}))"
    outcome, probe = graded(head((SCALE, made)))
    assert outcome.lost == ["3a.2"]
    assert outcome.lines["3a.2"].diagnosis == "trained-scale"
    assert "bias" not in outcome.lines["3a.2"].text
    assert probe.trained == ("scale",)


def test_a_learned_factor_in_a_layer_costs_the_line_of_its_structure():
    branch = "self.mlp(self.mlp_norm(x))"
    files = layer(
        ("from torch", "import torch\nfrom torch"),
        around_norm("self.alpha = nn.Parameter(torch.ones(1))"),
        (branch, f"self.alpha * {branch}"),
    )
    outcome, _ = graded(files)
    assert outcome.lost == ["3b.4"]
    assert outcome.lines["3b.4"].diagnosis == "trained-factor"


WRONG = {
    "a bias that is used": (
        head(("self.query = nn.Linear(input_dim, inner_dim, bias=False)",
              "self.query = nn.Linear(input_dim, inner_dim)")),
        {"3a.2": "projection-bias"},
    ),
    "a vector that is added": (
        head(made_too("self.shift = nn.Parameter(torch.zeros(inner_dim))"),
             ("self.query(x),", "self.query(x) + self.shift,")),
        {"3a.2": "projection-bias", "3a.4": "", "3a.5": "", "3a.6": ""},
    ),
    "a detached query": (
        head(("self.query(x),", "self.query(x).detach(),")), {"3a.5": "detached-query"},
    ),
    "a forgotten key beside something unused": (
        head(made_too("self.extra = nn.Linear(inner_dim, 4)"), ("self.key(x)", "self.query(x)")),
        {"3a.4": "shared-query-key"},
    ),
    "a forgotten norm beside something unused": (
        layer(around_norm("self.extra = nn.LayerNorm(dim)"),
              ("self.mlp_norm(x)", "self.attention_norm(x)")),
        {"3b.2": "shared-norm"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "lost"), WRONG.values(), ids=WRONG.keys())
def test_what_does_something_is_judged_as_before(files, lost):
    outcome, _ = graded(files)
    found = {number: outcome.lines[number].diagnosis for number in outcome.lost}
    assert found == lost, {number: outcome.lines[number].text for number in outcome.lost}


def test_a_frozen_projection_does_something_and_gets_no_gradient():
    outcome, probe = graded(head(made_too("self.query.requires_grad_(False)")))
    assert outcome.lost == ["3a.5"]
    assert probe.idle == frozenset()


@pytest.mark.parametrize("name", ["unused-third-norm", "unused-parts-in-head",
                                  "scale-as-frozen-parameter", "scale-as-buffer"])  # fmt: skip
def test_the_graders_program_stands_for_a_transformer_of_such_parts(name):
    with examine(load_solutions([name])[0]) as exam:
        assert exam.transformer_training.get().by is JudgedBy.STEPS
        (program,) = with_own_heads(exam.layer.get(), exam.head.get())
        assert program.is_reference
