"""The grader's own program of a Vision Transformer: the same numbers as the code it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from autograder.hw5 import mnist, transformer
from autograder.hw5.mistakes import program as programs
from autograder.hw5.mistakes.head import VALUES
from autograder.hw5.mistakes.layer import OUTPUT
from autograder.hw5.mistakes.program import Program, Weights
from autograder.hw5.probes import vit
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.reference import Folded
from autograder.hw5.probes.vit import JudgedBy, Judgement, WeightsProblem
from autograder.staff.solutions import Solution, load_solutions
from provided.mnist import Mnist, Split

from .conftest import left_to_the_full_set, spread
from .local_grading import LocalSandbox, examine

TEST_IMAGES = 300
REFERENCE = load_solutions(["reference"])[0]
OF_3C = ("attention.py", "encoder.py")
ALTERNATIVES = [s for s in load_solutions(["alternatives"]) if set(OF_3C) & set(s.changed)]
RIGHT = [REFERENCE, *ALTERNATIVES]
MISTAKES = {s.name: s for s in load_solutions(["mistakes"])}


@pytest.fixture(scope="module")
def data() -> Mnist:
    whole = mnist.load()
    return Mnist(whole.train, whole.validation.first(60), whole.test.first(TEST_IMAGES))


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """The reference's trained weights."""
    weights = vit.read_weights(
        (REFERENCE.folder / "artifacts/vit/weights.safetensors").read_bytes()
    )
    assert not isinstance(weights, WeightsProblem)
    return weights


@contextmanager
def case_of(solution: Solution, data: Mnist) -> Iterator[transformer.Case]:
    with examine(solution) as examination:
        examination.__dict__["data"] = data
        yield examination._transformer_case()


def batches_of(data: Mnist) -> Split:
    return data.train.first(2 * 32)


def taken_by(case: transformer.Case, batches: Split) -> vit.StepsTaken:
    with case.sandbox.worker() as worker:
        return vit.take_steps(
            worker, case.assignment, batches, 32, transformer.STEP_RATE, case.heads
        )


def learned_by(case: transformer.Case) -> vit.TransformerRun:
    return transformer.learn(case, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "solution",
    left_to_the_full_set(RIGHT, but=spread(RIGHT, 6), full=spread(RIGHT, 30)),
    ids=lambda s: s.name,
)
def test_correct_work_learns_by_the_same_steps_and_keeps_its_accuracy(solution, data, trained):
    """Its trained weights, under the names of its own code, are as accurate as the reference's."""
    with case_of(solution, data) as case:
        assert learned_by(case).by is JudgedBy.STEPS
        (program,) = case.programs(Heads.STUDENT)
        mine = renamed(trained, case, program)
        judged = transformer._judge(case, mine, Heads.STUDENT, torch.Generator())
    assert isinstance(judged, Judgement)
    assert judged.by is JudgedBy.GRADER
    assert judged.for_a_person == ""
    assert judged.accuracy > 0.97


def renamed(trained: dict[str, Tensor], case: transformer.Case, program: Program) -> dict:
    """The reference's weights as a submission's own model would have them.

    The program reads the submission's first weights as the reference's roles; what it reads
    there are views, so writing through them fills in the right places.
    """
    with examine(REFERENCE) as examination:
        (reference,) = examination._transformer_case().programs(Heads.STUDENT)
    state = {n: v.clone() for n, v in taken_by(case, case.data.train.first(32)).before.items()}
    for name in state.keys() & trained.keys():
        if not name.startswith("layers."):
            state[name].copy_(trained[name])
    for mine, right in zip(program._layers(state), reference._layers(trained), strict=True):
        pairs = [(mine, right, ("output", "first", "second", "first_bias", "second_bias"))]
        pairs += [
            (a, b, ("query", "key", "value")) for a, b in zip(mine.heads, right.heads, strict=True)
        ]
        pairs += [(a, b, ("weight", "bias")) for a, b in zip(mine.norms, right.norms, strict=True)]
        for ours, theirs, names in pairs:
            for name in names:
                if getattr(ours, name) is not None:
                    getattr(ours, name).copy_(getattr(theirs, name))
    return state


def test_without_a_loop_over_heads_the_logits_are_the_same(data, trained):
    with case_of(REFERENCE, data) as case:
        (program,) = case.programs(Heads.STUDENT)
    images, _ = data.test.batch(slice(0, 40))
    folded = program._predictor(trained)(images)
    assert folded.shape == (40, 10)
    torch.testing.assert_close(folded, program.logits(trained, images), rtol=1e-4, atol=1e-4)
    one_by_one = Program(program.layer, programs.HeadReading(program.head.roles, (SAME_HEAD,)))
    torch.testing.assert_close(one_by_one.logits(trained, images), folded, rtol=1e-4, atol=1e-4)


SAME_HEAD = SimpleNamespace(  # as a mistake's, and none
    steps={"out": lambda p: p["mixed"]}, frozen=frozenset()
)


def test_a_folded_layer_computes_the_class_token_alone_where_no_other_is_read(data, trained):
    with case_of(REFERENCE, data) as case:
        (program,) = case.programs(Heads.STUDENT)
    layer = Folded.of(program._layers(trained)[0])
    x = torch.randn(3, SIZES.tokens, SIZES.dim, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.out(x, 1), layer.out(x, SIZES.tokens)[:, :1])


# mistake -> what stands behind line 3c.1
LEARNS_BY = {
    "no-scale": JudgedBy.STEPS,  # a wrong head: the layer is right over the grader's own heads
    "output-bias": JudgedBy.STEPS,  # paid for on 3b.4, and no other computation
    "gelu": JudgedBy.GRADER,
    "missing-second-residual": JudgedBy.GRADER,
    "post-norm-and-gelu": JudgedBy.GRADER,
    "detached-mlp": JudgedBy.GRADER,
    "shared-norm-by-slip": JudgedBy.GRADER,
}


@pytest.mark.parametrize("name", LEARNS_BY)
def test_what_a_known_mistake_explains_is_trained_by_the_grader(name, data):
    with case_of(MISTAKES[name], data) as case:
        run = learned_by(case)
    assert run.by is LEARNS_BY[name]
    assert run.for_a_person == ""


@pytest.mark.parametrize("name", ["gelu", "missing-first-residual", "detached-heads", "no-norms"])
def test_a_mistaken_layer_takes_other_steps_than_the_reference(name, data):
    with case_of(MISTAKES[name], data) as case, case_of(REFERENCE, data) as right:
        batches = batches_of(data)
        taken = taken_by(case, batches)
        (wrong,) = case.programs(Heads.STUDENT)
        assert transformer._same_steps(wrong, taken, batches)
        for reference in right.programs(Heads.STUDENT):
            assert not transformer._same_steps(reference, taken, batches)
        forgiving = Program(programs.LayerReading(wrong.layer.roles, ()), wrong.head)
        assert not transformer._same_steps(forgiving, taken, batches)


@pytest.mark.parametrize(
    "lie",
    [
        lambda taken: taken.after.clear(),
        lambda taken: taken.after.update(taken.before),
        lambda taken: taken.after["class_token"].mul_(1.05),
        lambda taken: taken.before["class_token"].fill_(torch.nan),
        lambda taken: taken.before.pop("class_token"),
        lambda taken: taken.after.update(class_token=torch.zeros(1, 1, SIZES.dim).double()),
        lambda taken: taken.logits.neg_(),
        lambda taken: taken.before.update(surplus=torch.zeros(3)),
        lambda taken: [
            state.update(more=value)
            for state, value in ((taken.before, torch.zeros(3)), (taken.after, torch.ones(3)))
        ],
    ],
    ids=["nothing", "unmoved", "slightly off", "NaN", "missing", "float64", "other logits",
         "surplus", "surplus that moves"],
)  # fmt: skip
def test_a_lie_about_the_steps_is_seen(lie, data):
    with case_of(REFERENCE, data) as case:
        batches = batches_of(data)
        taken = taken_by(case, batches)
        (program,) = case.programs(Heads.STUDENT)
    assert transformer._same_steps(program, taken, batches)
    lie(taken)
    assert not transformer._same_steps(program, taken, batches)


def test_first_weights_that_are_far_from_usual_call_for_a_training(data):
    with case_of(REFERENCE, data) as case:
        (program,) = case.programs(Heads.STUDENT)
        state = taken_by(case, data.train.first(32)).before
    assert program.starts_as_usual(state)
    for name, factor in (("0.mlp.0.weight", 0.0), ("3.project.weight", 9.0),
                         ("5.attention_norm.weight", 0.0)):  # fmt: skip
        odd = {**state, f"layers.{name}": factor * state[f"layers.{name}"]}
        assert not program.starts_as_usual(odd)


def test_a_fixed_factor_that_is_right_at_the_homeworks_sizes_is_right_here(data):
    """1/8 is 1/√64: wrong in question 3a, whose heads have other sizes, and right in 3c."""
    with case_of(MISTAKES["scale-by-constant"], data) as case:
        known = case.programs(Heads.STUDENT)
    fitted, reference = known
    assert [one.id for one in fitted.head.variants] == ["scale-by-constant"]
    assert reference.is_reference


def test_no_program_waits_for_numbers_of_the_students(data):
    """Each mistake that is read off the student's output can run without it."""
    fitted = {*programs.LEFT_OUT, *programs.FITTED}
    assert fitted <= {one.id for one in (*VALUES, *OUTPUT)}
    for name in sorted(fitted & MISTAKES.keys()):
        with case_of(MISTAKES[name], data) as case:
            state = taken_by(case, data.train.first(32)).before
            images, _ = data.test.batch(slice(0, 3))
            harness = case.programs(Heads.HARNESS)[0]
            for program in case.programs(Heads.STUDENT):
                own = {**state, **_as_own_heads(state, program)}
                assert program.logits(own, images).shape == (3, 10)
            assert harness.logits(state, images).shape == (3, 10)


def _as_own_heads(state: dict[str, Tensor], program: Program) -> dict[str, Tensor]:
    """Some weights under the names of a program's own heads."""
    shape = (SIZES.dim_head, SIZES.dim)
    return {
        f"layers.{i}.{prefix}{block.parameter}": torch.ones(shape) / 64
        for i in range(SIZES.depth)
        for prefix, roles in program.layer.roles.heads
        for block in (roles.query, roles.key, roles.value)
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("layers.5.mlp.0.weight"),
        lambda state: state.update({"layers.5.mlp.0.weight": torch.zeros(128, 63)}),
        lambda state: state.update({"layers.5.mlp.0.weight": torch.zeros(90_000, 64),
                                    "layers.5.mlp.0.bias": torch.zeros(90_000),
                                    "layers.5.mlp.3.weight": torch.zeros(64, 90_000)}),
        lambda state: state.update({"layers.0.attention.heads.7.key.weight": torch.zeros(64)}),
        lambda state: state.update(positions=torch.zeros(1, 18, 64)),
    ],
    ids=["missing", "odd", "much too wide", "no matrix", "a token more"],
)  # fmt: skip
def test_weights_that_are_none_for_a_program_are_never_computed_with(spoil, data, trained):
    with case_of(REFERENCE, data) as case:
        (program,) = case.programs(Heads.STUDENT)
    assert program.fits(trained)
    state = dict(trained)
    spoil(state)
    assert not program.fits(state)


def test_a_run_that_is_over_waits_for_no_program(data, trained):
    with case_of(REFERENCE, data) as case:
        (program,) = case.programs(Heads.STUDENT)
    with pytest.raises(programs.Stopped):
        program.right(trained, data.test, lambda: True)
    with pytest.raises(programs.Stopped):
        list(programs.train(Weights(program, trained), data.train, SETTINGS, 3, lambda: True))


SETTINGS = transformer.Training(1e-3)


class Spying(LocalSandbox):
    """Notes which images a worker is sent."""

    def __init__(self, sandbox: LocalSandbox, seen: list[Tensor]) -> None:
        super().__init__(sandbox._folder)
        self._seen = seen

    @contextmanager
    def worker(self, *files: str):
        with super().worker(*files) as worker:
            plain = worker.ask

            def ask(question, schema, **rest):
                self._seen += [t for n, t in (rest.get("tensors") or {}).items() if n == "images"]
                return plain(question, schema, **rest)

            worker.ask = ask
            yield worker


def test_no_code_of_a_submission_that_is_explained_sees_a_test_image(data, trained):
    tests = {image.numpy().tobytes() for image in data.test.images}
    for solution in (REFERENCE, MISTAKES["gelu"]):
        seen: list[Tensor] = []
        with case_of(solution, data) as case:
            spied = transformer.Case(**{**vars(case), "sandbox": Spying(case.sandbox, seen)})
            learned_by(spied)
            transformer._judge(spied, trained_for(solution, spied, trained), Heads.STUDENT,
                               torch.Generator())  # fmt: skip
        assert seen
        assert not any(image.numpy().tobytes() in tests for images in seen for image in images)


def trained_for(solution: Solution, case: transformer.Case, trained: dict) -> dict:
    if solution is REFERENCE:
        return trained
    return taken_by(case, case.data.train.first(32)).before
