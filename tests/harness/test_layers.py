"""Layer lists: what a worker describes is what the grader rebuilds, counts and refuses."""

from __future__ import annotations

import json
from collections import OrderedDict

import pytest
import torch
from torch import nn

from autograder.confined.describing import describe_layer, leaves, sized
from autograder.hw5 import assignment as assignments
from autograder.hw5.figures import figures
from autograder.hw5.verdicts import networks as verdicts
from autograder.rubric.feedback import Rejected
from autograder.sandbox.replies import LayerReply
from autograder.staff.solutions import load_solutions
from autograder.training.layer import ModelProblem, Reason
from autograder.training.layer_arguments import MAX_PARAMETERS
from autograder.training.layer_list import LayerList
from provided.homework import CNN

from .local_grading import examine


def described(model: nn.Sequential) -> LayerList:
    """A model as it arrives from a worker: through JSON and the reply's schema."""
    seen: dict[int, int] = {}
    replies = []
    for path, layer in leaves(model, CNN.file):
        content = describe_layer(path, layer, seen.get(id(layer)))
        seen.setdefault(id(layer), len(replies))
        replies.append(LayerReply.model_validate(json.loads(json.dumps(content))))
    return LayerList.from_replies(replies)


def claimed(*layers: tuple) -> LayerList:
    """A list that no model stands behind: kind, arguments, and what else differs."""
    return LayerList.from_replies(
        [
            LayerReply(
                kind=kind,
                path=str(place),
                known=(rest[0] if rest else {}).get("known", True),
                arguments=arguments,
                same_as=(rest[0] if rest else {}).get("same_as"),
                parameters=(rest[0] if rest else {}).get("parameters", 0),
                own_forward=(rest[0] if rest else {}).get("own_forward", False),
            )
            for place, (kind, arguments, *rest) in enumerate(layers)
        ]
    )


def linear(inputs, outputs, bias=True):
    return ("Linear", {"in_features": inputs, "out_features": outputs, "bias": bias})


def flat(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), *layers)


def over_images(layer: nn.Module) -> nn.Sequential:
    size = layer(torch.zeros(2, 1, 28, 28)).flatten(1).shape[1]
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(size, 10))


MODELS = {
    "linear": flat(),
    "linear without bias": nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False)),
    "convolution": over_images(nn.Conv2d(1, 4, 3)),
    "convolution, all arguments": nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), 2, False, "reflect"),
        nn.Flatten(),
        nn.Linear(6 * 13 * 28, 10),
    ),
    "convolution, same": over_images(nn.Conv2d(1, 2, 3, padding="same")),
    "max pooling": over_images(nn.MaxPool2d(3, 2, 1, 1, ceil_mode=True)),
    "max pooling of its window's stride": over_images(nn.MaxPool2d((2, 4))),
    "average pooling": over_images(nn.AvgPool2d(3, 2, 1, True, False)),
    "adaptive average pooling": over_images(nn.AdaptiveAvgPool2d((3, None))),
    "adaptive max pooling": over_images(nn.AdaptiveMaxPool2d(4)),
    "batch norm over images": over_images(nn.BatchNorm2d(1, eps=0.1, momentum=0.3)),
    "batch norm, plain": over_images(
        nn.BatchNorm2d(1, momentum=None, affine=False, track_running_stats=False)
    ),
    "batch norm over numbers": flat(nn.BatchNorm1d(10, eps=0.5)),
    "layer norm": flat(nn.LayerNorm(10, eps=0.2)),
    "layer norm over an image": over_images(nn.LayerNorm([1, 28, 28], elementwise_affine=False)),
    "dropouts": over_images(nn.Sequential(nn.Dropout(0.3), nn.Dropout2d(0.9))),
    "softmax": flat(nn.Softmax(dim=1)),
    "log softmax": flat(nn.LogSoftmax(dim=-1)),
    "unflatten": flat(nn.Unflatten(1, (5, 2)), nn.Flatten(-2, -1)),
    "activations with numbers": flat(nn.LeakyReLU(0.2), nn.ELU(0.5), nn.GELU("tanh")),
    "activations": flat(
        nn.ReLU(),
        nn.ReLU6(),
        nn.SELU(),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.Identity(),
        nn.Hardswish(),
        nn.Mish(),
    ),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_a_rebuilt_model_computes_what_the_students_computes(model):
    own = nn.Sequential(*(layer for _, layer in leaves(model, CNN.file))).eval()
    built = described(model).build().eval()
    assert [type(layer) for layer in built] == [type(layer) for layer in own]
    shapes = {name: value.shape for name, value in own.state_dict().items()}
    assert {name: value.shape for name, value in built.state_dict().items()} == shapes
    built.load_state_dict(own.state_dict())
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(x), own(x), rtol=0, atol=0)
    own.train()
    built.train()
    torch.manual_seed(5)
    expected = own(x)
    torch.manual_seed(5)
    torch.testing.assert_close(built(x), expected, rtol=0, atol=0)


def test_a_list_carries_no_weights_of_the_students():
    model = flat()
    with torch.no_grad():
        model[1].weight.fill_(7.0)
    assert not bool((described(model).build()[1].weight == 7.0).any())


def test_hidden_units_are_the_outputs_of_every_linear_layer_but_the_last():
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 80), nn.Linear(80, 10)
    )
    assert described(model).hidden_units() == [120, 80]
    assert described(flat()).hidden_units() == []


@pytest.mark.parametrize("value", [None, "many", -100, [1], 0, True], ids=str)
def test_hidden_units_that_are_no_sizes_are_a_problem_of_the_model(value):
    layers = claimed(linear(784, value), linear(200, 10))
    with pytest.raises(ModelProblem):
        layers.hidden_units()


def test_parameters_are_counted_layer_by_layer():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 26 * 26, 10)
    )
    assert [count for _, count in described(model).parameter_counts()] == [36, 8, 0, 27_050]


def test_a_layer_that_stands_twice_counts_and_learns_once():
    shared = nn.Linear(20, 20)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 20), shared, nn.ReLU(), shared, nn.Linear(20, 10)
    )
    layers = described(model)
    counts = [count for _, count in layers.parameter_counts()]
    assert counts == [0, 15_700, 420, 0, 0, 210]
    built = layers.build()
    assert built[2] is built[4]
    assert sum(parameter.numel() for parameter in built.parameters()) == sum(counts)


def test_nested_containers_are_one_list_with_paths():
    model = nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            body=nn.Sequential(nn.Linear(784, 30), nn.Sequential(nn.ReLU(), nn.Dropout(0.1))),
            head=nn.Linear(30, 10),
        )
    )
    layers = described(model)
    paths = [layer.path for layer in layers.layers]
    assert paths == ["flatten", "body.0", "body.1.0", "body.1.1", "head"]
    assert layers.top_level_indices() == [0, 1, 1, 1, 2]
    assert layers.hidden_units() == [30]


def test_an_empty_container_keeps_the_places_of_the_layers_behind_it():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(), nn.Linear(784, 10))
    assert described(model).top_level_indices() == [0, 2]


def test_layers_outside_a_list_are_named():
    class Linear(nn.Module):
        pass

    model = nn.Sequential(nn.Flatten(), nn.Tanh(), Linear(), nn.Linear(784, 10))
    outside = described(model).outside(frozenset({"Flatten", "Linear"}))
    assert [str(layer) for layer in outside] == ["Tanh (layer 1)", "Linear (layer 2)"]
    assert len(described(model).of_kind("Linear")) == 1


@pytest.mark.parametrize(
    ("model", "is_flat"),
    [
        (flat(), False),
        (nn.Sequential(nn.Linear(784, 10)), True),
        (nn.Sequential(nn.Dropout(0.1), nn.Linear(784, 10)), True),
        (over_images(nn.Conv2d(1, 2, 3)), False),
    ],
    ids=["flattened first", "linear", "dropout, linear", "convolution"],
)
def test_a_model_takes_images_flat_or_as_images(model, is_flat):
    assert described(model).takes_flat_images() is is_flat


CONV = {
    "in_channels": 1,
    "out_channels": 2,
    "kernel_size": 3,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
}
REFUSED = {
    "no layers": ((), "no layers"),
    "an unknown layer": (
        (("models.Mine", {}, {"known": False}),),
        r"Mine .layer 0. is a class of your own: the grader can't rebuild it",
    ),
    "a class that is called like one of torch's": (
        (("models.Linear", {}, {"known": False}),),
        r"Linear .layer 0. is a class of your own named Linear, not torch\.nn's",
    ),
    "a torch layer that nobody knows": (
        (("torch.nn.modules.rnn.LSTM", {}, {"known": False}),),
        r"LSTM .layer 0. is not a layer that the grader can rebuild\.",
    ),
    "a sequence with a forward of its own": (
        (("models.Net", {}, {"known": False, "own_forward": True}),),
        r"Net .layer 0. is an nn\.Sequential with a forward of its own: the grader",
    ),
    "a lazy layer": (
        (("torch.nn.modules.linear.LazyLinear", {}, {"known": False}),),
        r"LazyLinear .layer 0. takes its size from what it gets first",
    ),
    "a torch layer that isn't rebuilt": ((("LSTM", {}), linear(784, 10)), "LSTM"),
    "a kind that is no layer": ((("Module", {}), linear(784, 10)), "Module"),
    "a kind out of torch.nn": ((("functional", {}),), "functional"),
    "no arguments": ((("Linear", {}),), "in_features"),
    "an argument too many": (
        (("Linear", {"in_features": 784, "out_features": 10, "bias": True, "device": "x"}),),
        "device",
    ),
    "a negative size": ((linear(784, -10),), "out_features = -10"),
    "a size of nothing": ((linear(784, None),), "out_features"),
    "a size that is a text": ((linear(784, "many"),), "out_features"),
    "a huge size": ((linear(784, 10**9), linear(10**9, 10)), "out_features"),
    "a dropout above one": ((("Dropout", {"p": 1.5}), linear(784, 10)), "p = 1.5"),
    "a window of zero": ((("Conv2d", {**CONV, "kernel_size": 0}),), "kernel_size"),
    "a stride of zero": ((("Conv2d", {**CONV, "stride": [0, 1]}),), "stride"),
    "a padding mode of its own": ((("Conv2d", {**CONV, "padding_mode": "x"}),), "padding_mode"),
    "groups that don't divide": ((("Conv2d", {**CONV, "groups": 2}),), "can't be created"),
    "the same padding with a stride": (
        (("Conv2d", {**CONV, "padding": "same", "stride": 2}),),
        "can't be created",
    ),
    "a wrong input": ((linear(783, 10),), "can't take its input of shape"),
    "wrong channels": ((("Conv2d", {**CONV, "in_channels": 3}),), "can't take its input"),
    "a window larger than the image": ((("Conv2d", {**CONV, "kernel_size": 29}),), "can't take"),
    "a softmax over an axis that isn't there": (
        (("Flatten", {"start_dim": 1, "end_dim": -1}), linear(784, 10), ("Softmax", {"dim": 3})),
        "can't take its input",
    ),
    "reflected padding wider than the image": (
        (
            ("Conv2d", {**CONV, "padding": 30, "padding_mode": "reflect"}),
            ("AdaptiveAvgPool2d", {"output_size": 1}),
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(2, 10),
        ),
        "can't take its input",
    ),
    "circular padding wider than the image": (
        (
            ("Conv2d", {**CONV, "padding": 60, "padding_mode": "circular"}),
            ("AdaptiveAvgPool2d", {"output_size": 1}),
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(2, 10),
        ),
        "can't take its input",
    ),
    "pooling with padding of more than half its window": (
        (
            (
                "MaxPool2d",
                {"kernel_size": 2, "stride": 2, "padding": 2, "dilation": 1, "ceil_mode": False},
            ),
            ("AdaptiveAvgPool2d", {"output_size": 1}),
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(1, 10),
        ),
        "can't take its input",
    ),
    "batch norm over images where numbers come": (
        (
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(784, 10),
            (
                "BatchNorm2d",
                {
                    "num_features": 10,
                    "eps": 1e-5,
                    "momentum": 0.1,
                    "affine": True,
                    "track_running_stats": True,
                },
            ),
        ),
        "can't take its input",
    ),
    "nine outputs": (
        (("Flatten", {"start_dim": 1, "end_dim": -1}), linear(784, 9)),
        r"returns \(B, 9\); expected \(B, 10\)",
    ),
    "no images apart": (
        (("Flatten", {"start_dim": 0, "end_dim": -1}), linear(1568, 10)),
        "expected",
    ),
    "too many parameters": ((linear(784, 7000), linear(7000, 10)), "parameters"),
    "too much work": (
        (
            ("Conv2d", {**CONV, "out_channels": 500, "padding": 1}),
            ("Conv2d", {**CONV, "in_channels": 500, "out_channels": 500, "padding": 1}),
            ("AdaptiveAvgPool2d", {"output_size": 1}),
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(500, 10),
        ),
        "too much to train here",
    ),
    "too many numbers in between": (
        (
            ("Conv2d", {**CONV, "padding": 64}),
            *[("Conv2d", {**CONV, "in_channels": 2, "padding": 64})] * 9,
            ("AdaptiveAvgPool2d", {"output_size": 1}),
            ("Flatten", {"start_dim": 1, "end_dim": -1}),
            linear(2, 10),
        ),
        "intermediate numbers",
    ),
    "a layer that claims to be a later one": (
        (
            ("Linear", {"in_features": 784, "out_features": 10, "bias": True}, {"same_as": 1}),
            linear(784, 10),
        ),
        "claims to be the same object as a different layer",
    ),
    "a layer that claims to be of another kind": (
        (linear(784, 10), ("ReLU", {}, {"same_as": 0})),
        "claims to be the same object as a different layer",
    ),
}


@pytest.mark.parametrize(("layers", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_list_that_is_no_model_is_refused_with_a_reason(layers, said):
    with pytest.raises(ModelProblem, match=said):
        claimed(*layers).build()


def test_a_model_at_the_limit_of_parameters_is_built():
    hidden = MAX_PARAMETERS // 795
    model = claimed(linear(784, hidden), linear(hidden, 10))
    assert sum(p.numel() for p in model.build().parameters()) <= MAX_PARAMETERS


PER_IMAGE = {  # hidden units are what a layer puts out for one image
    "flattened": ([nn.Flatten(), nn.Linear(784, 60), nn.ReLU(), nn.Linear(60, 10)], [60]),
    "flat images": ([nn.Linear(784, 60), nn.Linear(60, 20), nn.Linear(20, 10)], [60, 20]),
    "each row": ([nn.Linear(28, 60), nn.Flatten(), nn.Linear(1680, 10)], [28 * 60]),
    "each column of a part": (
        [nn.Unflatten(2, [4, 7]), nn.Linear(28, 3), nn.Flatten(), nn.Linear(84, 10)],
        [4 * 7 * 3],
    ),
    "layers that don't fit": ([nn.Flatten(), nn.Linear(700, 60), nn.Linear(60, 10)], [60]),
}


@pytest.mark.parametrize(("modules", "units"), PER_IMAGE.values(), ids=PER_IMAGE.keys())
def test_hidden_units_are_counted_for_one_image(modules, units):
    assert described(nn.Sequential(*modules)).hidden_units() == units


@pytest.mark.parametrize(("p", "drops"), [(0.0, False), (1e-9, False), (0.01, True), (0.5, True)])
def test_a_dropout_counts_where_it_drops_something(p, drops):
    layers = described(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.0), nn.BatchNorm2d(2), nn.Dropout(p))
    )
    required = ["Dropout", "BatchNorm2d"]
    if drops:
        verdicts.check_required_layers(layers, required)
    else:
        with pytest.raises(Rejected) as caught:
            verdicts.check_required_layers(layers, required)
        assert caught.value.feedback.diagnosis == "idle-dropout"


REASONS = {
    "a size": (nn.Sequential(nn.Flatten(), nn.Linear(700, 10)), Reason.SIZE),
    "channels": (nn.Sequential(nn.Conv2d(3, 4, 3)), Reason.SIZE),
    "features": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(5)), Reason.SIZE),
    "rows": (nn.Sequential(nn.Linear(28, 10)), Reason.ROWS),
    "rows, flattened at the end": (nn.Sequential(nn.Linear(28, 10), nn.Flatten()), Reason.ROWS),
    "channels, not flattened": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4 * 26 * 26, 10)),
        Reason.ROWS,
    ),
    "flat images of another size": (
        nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(40, 10)),
        Reason.SIZE,
    ),
    "rows that are flattened too late": (
        nn.Sequential(nn.Linear(28, 50), nn.Flatten(), nn.Linear(50, 10)),
        Reason.SIZE,
    ),
    "nine outputs": (flat(nn.ReLU(), nn.Linear(10, 9)), Reason.OUTPUT),
    "parameters": (flat(nn.Linear(10, 500_000), nn.Linear(500_000, 10)), Reason.TOO_BIG),
    "work": (
        nn.Sequential(nn.Conv2d(1, 900, 5), nn.Conv2d(900, 60, 3), nn.Flatten(),
                      nn.Linear(60 * 22 * 22, 10)),
        Reason.TOO_BIG,
    ),
    "a window": (nn.Sequential(nn.Conv2d(1, 4, 29)), Reason.OTHER),
    "an axis": (flat(nn.Softmax(dim=3)), Reason.OTHER),
    "an own class": (flat(type("Linear", (nn.Module,), {})()), Reason.FOREIGN),
    "a torch layer": (flat(nn.PReLU()), Reason.FOREIGN),
    "a lazy layer": (flat(nn.LazyLinear(10)), Reason.LAZY),
}  # fmt: skip


@pytest.mark.parametrize(("model", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_problem_knows_its_reason(model, reason):
    with pytest.raises(ModelProblem) as caught:
        described(model).build()
    assert caught.value.reason is reason


def test_images_that_get_further_are_those_that_a_problem_is_told_of():
    with pytest.raises(ModelProblem, match=r"layer 2.*\(B, 50\): it expects 40 inputs and gets 50"):
        described(nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(40, 10))).build()


class Net(nn.Sequential):
    pass


class WithForward(nn.Sequential):
    def forward(self, x):
        return super().forward(x).relu()


class Called(nn.Sequential):
    def __call__(self, x):
        return super().__call__(x).relu()


def patched() -> nn.Sequential:
    model = nn.Sequential(nn.Flatten())
    model.forward = lambda x: x
    return model


def test_a_sequence_without_a_forward_is_its_layers():
    model = Net(nn.Flatten(), Net(nn.Linear(784, 30), nn.ReLU()), nn.Linear(30, 10))
    layers = described(model)
    assert [layer.kind for layer in layers.layers] == ["Flatten", "Linear", "ReLU", "Linear"]
    assert [layer.path for layer in layers.layers] == ["0", "1.0", "1.1", "2"]
    layers.build()


@pytest.mark.parametrize(
    "model",
    [WithForward(nn.Flatten()), Called(nn.Flatten()), patched()],
    ids=["in its class", "by a call of its own", "in the object"],
)
@pytest.mark.parametrize("inside", [False, True], ids=["the model", "inside"])
def test_a_sequence_with_a_forward_is_no_list_of_layers(model, inside):
    layers = described(nn.Sequential(model, nn.Linear(784, 10)) if inside else model)
    assert layers.layers[0].own_forward
    assert layers.foreign == [layers.layers[0]]


def sized_like(build, *shape):
    """A model whose lazy layers got their sizes from one batch."""
    model = build().eval()
    model(torch.zeros(2, *shape))
    return described(model)


LAZY = {
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), (1, 28, 28)),
    "flat images": (lambda: nn.Sequential(nn.LazyLinear(20), nn.LazyLinear(10)), (784,)),
    "convolution": (
        lambda: nn.Sequential(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
        ),
        (1, 28, 28),
    ),
    "behind a class of their own": (
        lambda: nn.Sequential(Net(nn.Flatten()), nn.LazyLinear(20), nn.LazyLinear(10)),
        (1, 28, 28),
    ),
}
BOTH = ((1, 28, 28), (784,))


@pytest.mark.parametrize(("build", "shape"), LAZY.values(), ids=LAZY.keys())
def test_a_lazy_layer_becomes_an_ordinary_one(build, shape):
    model, problem = sized(build, BOTH, 10)
    assert problem == ""
    assert described(model) == sized_like(build, *shape)
    described(model).build()


def test_a_lazy_layer_that_no_batch_reaches_says_what_stopped_the_batch():
    model, problem = sized(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 7), nn.LazyLinear(10)), BOTH, 10
    )
    assert problem.startswith("RuntimeError: mat1 and mat2")
    layers = LayerList(described(model).layers, problem)
    for check in (
        lambda: verdicts.check_hidden_units(layers, 200),
        lambda: verdicts.check_countable(layers, "parameters", []),
    ):
        with pytest.raises(Rejected, match=r"LazyLinear \(layer 2\) takes its") as caught:
            check()
        assert caught.value.feedback.got == problem
        assert caught.value.feedback.diagnosis == "lazy-layer-without-size"
    verdicts.check_layers(layers, ("Flatten", "Linear"))  # it would become an allowed one
    with pytest.raises(Rejected, match=r"and LazyLinear \(layer 2\) are not on the"):
        verdicts.check_layers(layers, ("Flatten",))


def test_a_model_without_lazy_layers_is_never_run():
    class Loud(nn.Module):
        def forward(self, x):
            raise AssertionError

    model = nn.Sequential(Loud())
    assert sized(lambda: model, BOTH, 10) == (model, "")


CNN_RULES = assignments.load().cnn
OWN = {"known": False, "parameters": 700}
OWN_BUT_HUGE = {"known": False, "parameters": 49_000}


def test_what_a_class_says_of_itself_costs_points_and_never_earns_them():
    few = claimed(linear(784, 10), ("models.Block", {}, OWN))
    with pytest.raises(Rejected, match=r"parameters .* Block \(layer 1\) is a") as caught:
        verdicts.check_parameters(few, CNN_RULES)
    assert (
        "700 parameters in Block (layer 1), by your code's own count" in caught.value.feedback.got
    )
    assert caught.value.points == 0
    many = claimed(linear(784, 10), ("models.Block", {}, OWN_BUT_HUGE))
    with pytest.raises(Rejected, match="6,851 parameters too many") as caught:
        verdicts.check_parameters(many, CNN_RULES)
    assert caught.value.feedback.notes == ("The count of Block (layer 1) is your code's own.",)


def test_what_a_layer_of_torchs_says_of_itself_counts_for_nothing():
    lying = claimed(
        ("Linear", {"in_features": 784, "out_features": 100, "bias": True}, {"parameters": 1}),
        linear(100, 10),
    )
    with pytest.raises(Rejected, match="29,511 parameters too many"):
        verdicts.check_parameters(lying, CNN_RULES)


def test_units_that_may_stand_in_a_class_of_ones_own_are_not_counted():
    for kind, rest, counted in (
        ("models.Block", OWN, False),
        ("models.Flatten", {"known": False}, True),
        ("torch.nn.modules.activation.PReLU", {"known": False, "parameters": 1}, True),
        ("models.Net", {**OWN, "own_forward": True}, False),
    ):
        layers = claimed((kind, {}, rest), linear(784, 100), linear(100, 10))
        if counted:
            said = verdicts.check_hidden_units(layers, 200).headline
            assert "Correct: 100 hidden units" in said
            assert "which the grader can't see into" in said
        else:
            with pytest.raises(Rejected, match="can't count the hidden units"):
                verdicts.check_hidden_units(layers, 200)


def test_what_is_missing_is_missing_outside_of_what_nobody_sees():
    layers = claimed(("models.Block", {}, OWN), linear(784, 10))
    with pytest.raises(Rejected, match=r"^Outside Block \(layer 0\), the network has no Dropout"):
        verdicts.check_required_layers(layers, ["Dropout", "Linear"])


@pytest.mark.parametrize(
    ("modules", "over_batch"),
    [
        ([nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=0)], ["2"]),
        ([nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=-2)], ["2"]),
        ([nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(dim=0)], ["2"]),
        ([nn.Softmax(dim=0), nn.Flatten(), nn.Linear(784, 10)], ["0"]),
        ([nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=1)], []),
        ([nn.Flatten(), nn.Linear(784, 10), nn.Softmax()], []),
        ([nn.Softmax(dim=-2), nn.Flatten(), nn.Linear(784, 10)], []),
    ],
    ids=str,
)
def test_a_softmax_over_the_images_of_a_batch_is_found(modules, over_batch):
    assert [one.path for one in described(nn.Sequential(*modules)).over_batch()] == over_batch


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("blocks-of-ones-own", "2c.3", "Block (layer 0); by the submission's own count"),
        ("flatten-of-ones-own", "2b.2", "there are 0 parameters in it"),
        ("sequential-with-own-forward", "2c.3", "see into Net; by"),
        ("lazy-layers", None, ""),
        ("lazy-layer-without-size", None, ""),
    ],
)
def test_layers_that_nobody_sees_into_are_named_for_a_person(name, line, said):
    with examine(load_solutions([name])[0]) as exam:
        exam.cnn.get()
        exam.fully_connected.get()
        found = figures(exam)["for_a_person"]
    assert found.keys() - {"1d"} == {line} - {None}
    assert line is None or said in found[line]
