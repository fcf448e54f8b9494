"""Steps of gradient descent without most of what autograd and the optimizer do around them.

A small model's step is largely that. The numbers are those of `provided.training.learn_batch`
to the last bit, because the same kernels of torch compute them in the same order. A network of
fully connected layers is tried with one batch first; where a bit differs, autograd is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from provided.mnist import CLASSES, Split
from provided.training import (
    EVALUATION_BATCH,
    Epoch,
    LearnBatch,
    Step,
    Training,
    make_optimizer,
    run_epochs,
)

FindGradients = Callable[[Tensor, Tensor], Tensor]
"""Images (B, 1, 28, 28), digits (B,) -> logits (B, 10); leaves the gradients in the parameters."""
threshold_backward = torch.ops.aten.threshold_backward.default  # looked up once: it costs time


def train(
    model: nn.Sequential,
    images: Split,
    validation: Split,
    settings: Training,
    *,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
    evaluation_batch: int = EVALUATION_BATCH,
) -> Iterator[Epoch]:
    """`run_epochs` with the same results in less time."""
    optimizer = make_optimizer(model, settings)
    learn = learner(model, optimizer, *images.batch(slice(settings.batch_size)))
    yield from run_epochs(
        model,
        images,
        validation,
        settings,
        seed=seed,
        optimizer=optimizer,
        on_step=on_step,
        learn=learn,
        evaluation_batch=evaluation_batch,
    )


def learner(
    model: nn.Sequential, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> LearnBatch:
    """What learns a batch with the optimizer's parameters and settings, as they are at each step.

    The images (B, 1, 28, 28) and digits (B,) are for the trial; nothing is learned from them.
    """
    find_gradients: FindGradients = Autograd(model)
    by_hand = Backpropagation.of(model)
    if by_hand is not None and same_gradients(model, by_hand, find_gradients, images, labels):
        find_gradients = by_hand
    update = AdamUpdates(optimizer).apply if is_adam(optimizer) else optimizer.step

    @torch.inference_mode()
    def learn(images: Tensor, labels: Tensor) -> Tensor:
        logits = find_gradients(images, labels)
        update()
        return logits

    return learn


@torch.inference_mode()
def same_gradients(
    model: nn.Module, one: FindGradients, other: FindGradients, images: Tensor, labels: Tensor
) -> bool:
    """Whether both find the same for a batch and the same random numbers, bit by bit."""
    found: list[list[Tensor]] = []
    for find_gradients in (one, other):
        with torch.random.fork_rng(devices=[]):
            logits = find_gradients(images, labels)
        gradients = (parameter.grad for parameter in model.parameters())
        found.append([logits, *(one.clone() for one in gradients if one is not None)])
    return all(map(torch.equal, *found))


def is_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether this is Adam itself, none of those that decay the weights otherwise."""
    return type(optimizer) is torch.optim.Adam


class AdamUpdates:
    """The updates of a fused Adam with the optimizer's groups and settings; keeps its own means."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._groups = optimizer.param_groups
        self._one = torch.ones(())
        self._states = [
            (
                [torch.zeros_like(one) for one in group["params"]],  # mean gradients
                [torch.zeros_like(one) for one in group["params"]],  # their mean squares
                torch.zeros(()),  # steps taken
            )
            for group in self._groups
        ]

    def apply(self) -> None:
        """Move the parameters by the gradients left in them; for where no gradient is recorded."""
        for group, (means, squares, step) in zip(self._groups, self._states, strict=True):
            beta1, beta2 = group["betas"]
            step.add_(self._one)
            torch._fused_adam_(
                group["params"],
                [parameter.grad for parameter in group["params"]],
                means,
                squares,
                [],
                [step] * len(means),
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


class Autograd:
    """Finds the gradients of any model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters = list(model.parameters())

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """See FindGradients."""
        for parameter in self._parameters:
            parameter.grad = None
        with torch.inference_mode(False):
            logits: Tensor = self._model(images)  # (B, 10)
            torch.autograd.backward(functional.cross_entropy(logits, labels))
        return logits.detach()


class Backpropagation:
    """Finds the gradients of fully connected layers, by the chain rule written out.

    A slope is the mean loss's gradient for what a layer gives, or for what it takes.
    """

    def __init__(self, layers: Sequence[Linear | ReLU | Dropout], first: Linear) -> None:
        self._layers = layers
        self._first = first  # that learns; no slope is needed before it
        self._backwards = list(reversed(layers[layers.index(first) + 1 :]))

    @classmethod
    def of(cls, model: nn.Sequential) -> Backpropagation | None:
        """For a Flatten, then Linear, ReLU and Dropout layers alone; None for other models."""
        flatten, *rest = model
        if not isinstance(flatten, nn.Flatten) or flatten.start_dim != 1:
            return None
        layers = [layer for layer in map(written_out, rest) if layer is not None]
        linear = [layer for layer in layers if isinstance(layer, Linear)]
        if len(layers) < len(rest) or not linear:
            return None
        if len({layer.weight for layer in linear}) < len(linear):
            return None  # the gradients of a layer that stands twice are sums
        return cls(layers, linear[0])

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """See FindGradients."""
        x = images.flatten(1)  # (B, 784)
        for layer in self._layers:
            x = layer.forward(x)
        slope = cross_entropy_slope(x, labels)  # (B, 10)
        for layer in self._backwards:
            slope = layer.backward(slope)
        self._first.leave_gradients(slope)
        return x


class Linear:
    """x Wᵀ + b."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self._bias = layer.weight, layer.bias  # (outputs, inputs), (outputs,) or None
        self._gradients = [torch.empty_like(one) for one in layer.parameters()]

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs) to (B, outputs)."""
        self._input = x
        return functional.linear(x, self.weight, self._bias)

    def backward(self, slope: Tensor) -> Tensor:
        """From (B, outputs) to (B, inputs); leaves the gradients on the way."""
        self.leave_gradients(slope)
        return slope @ self.weight

    def leave_gradients(self, slope: Tensor) -> None:
        """Write the gradients of weight and bias over those of the step before."""
        self.weight.grad, *bias = self._gradients
        torch.mm(slope.t(), self._input, out=self.weight.grad)
        if bias:
            self._bias.grad = torch.sum(slope, 0, out=bias[0])


class ReLU:
    """max(x, 0), with slope 0 at 0 as torch has it."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        self._output = x.relu()
        return self._output

    def backward(self, slope: Tensor) -> Tensor:
        """Of the same shape."""
        result: Tensor = threshold_backward(slope, self._output, 0)
        return result


class Dropout:
    """Each number 0 with probability p, else divided by 1 - p."""

    def __init__(self, layer: nn.Dropout) -> None:
        self._kept = 1 - layer.p

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape; draws the random numbers that torch does."""
        self._factors = torch.empty_like(x).bernoulli_(self._kept).div_(self._kept)
        return x * self._factors

    def backward(self, slope: Tensor) -> Tensor:
        """Of the same shape."""
        return slope * self._factors


def written_out(layer: nn.Module) -> Linear | ReLU | Dropout | None:
    """The layer with its chain rule; None for a kind that has none here."""
    match layer:
        case nn.Linear():
            return Linear(layer)
        case nn.ReLU():
            return ReLU()
        case nn.Dropout() if 0 < layer.p < 1:  # at both ends torch draws no random numbers
            return Dropout(layer)
        case _:
            return None


def cross_entropy_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the mean cross entropy for the logits (B, 10): (softmax - one-hot) / B.

    By the kernel that autograd takes, and thus with its rounding.
    """
    log_softmax = logits.log_softmax(1)
    slope = mean_loss_slopes(len(labels)).index_select(0, labels)  # (B, 10)
    return torch._log_softmax_backward_data(slope, log_softmax, 1, torch.float32)


@cache
def mean_loss_slopes(images: int) -> Tensor:
    """For each digit, the mean loss's gradient for one image's log-softmax: (10, 10)."""
    return torch.eye(CLASSES).div_(-images)
