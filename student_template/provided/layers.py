"""What check.py looks for in the layers of your two networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from provided.architecture import layer_in_short
from provided.artifacts import count_parameters
from provided.conditions import TOLERANCE, Problem, need_gradients, need_shape
from provided.mnist import CLASSES, IMAGE_SIZE
from provided.training import LEAST_DROPOUT

NOT_FLATTENED = "a Linear layer works on the last axis alone, and the image isn't flattened."
IMAGES = 4  # in a batch to try a model with
FLAT = IMAGE_SIZE**2  # numbers in an image that is one row


def sized(model: object) -> object:
    """The model, its lazy layers made ordinary ones by a batch of zeros."""
    if not isinstance(model, nn.Sequential):
        return model
    lazy = [layer for layer in model.modules() if is_lazy(layer)]
    if not lazy:
        return model
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE))
    except (RuntimeError, ValueError, IndexError) as problem:
        still = next((layer for layer in lazy if is_lazy(layer)), None)
        if still is not None:
            raise Problem(
                f"{type(still).__name__} takes its size from what it gets first, and a batch of "
                f"zeros (2, 1, {IMAGE_SIZE}, {IMAGE_SIZE}) doesn't get there: {first_line(problem)}"
            ) from None
    return model


def is_lazy(layer: nn.Module) -> bool:
    """Whether a layer has no size yet."""
    own = (*layer.parameters(recurse=False), *layer.buffers(recurse=False))
    return any(nn.parameter.is_lazy(one) for one in own)


def is_sequence(layer: object) -> bool:
    """Whether a layer only passes its input through its own layers, one after the other.

    So does an nn.Sequential, and a subclass that has no forward of its own.
    """
    return (
        isinstance(layer, nn.Sequential)
        and type(layer).forward is nn.Sequential.forward
        and type(layer).__call__ is nn.Sequential.__call__
        and "forward" not in vars(layer)
    )


def flat_layers(model: object) -> list[nn.Module]:
    """The layers of a possibly nested nn.Sequential."""
    if not isinstance(model, nn.Sequential):
        raise Problem(f"the builder returns {type(model).__name__}, not an nn.Sequential.")
    if not is_sequence(model):
        return [model]
    return [
        one for layer in model for one in (flat_layers(layer) if is_sequence(layer) else [layer])
    ]


def need_allowed(layers: Sequence[nn.Module], allowed: Sequence[type[nn.Module]]) -> None:
    """Only layers on the list, and one that learns."""
    outside = sorted({called(layer) for layer in layers if type(layer) not in allowed})
    if outside:
        names = ", ".join(kind.__name__ for kind in allowed)
        raise Problem(f"{', '.join(outside)} not allowed here; allowed are torch.nn's {names}.")
    if not any(isinstance(layer, (nn.Linear, nn.Conv2d)) for layer in layers):
        raise Problem("the model has no Linear and no Conv2d layer.")


def called(layer: nn.Module) -> str:
    """A layer by its class, your own as such."""
    name = type(layer).__name__
    if isinstance(layer, nn.Sequential):
        return f"your nn.Sequential {name}, which has a forward of its own,"
    return name if type(layer).__module__.startswith("torch.") else f"your own class {name}"


def need_few_units(layers: Sequence[nn.Module], most: int) -> str:
    """All Linear layers but the last put out few numbers for one image."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    alone = sum(layer.out_features for layer in linear[:-1])
    try:
        outputs = pass_through(layers, torch.zeros(1, *image_shape(layers)))
    except Problem:  # need_logits says what is wrong
        outputs = []
    if outputs and outputs[-1].shape == (1, CLASSES):
        pairs = list(zip(layers, outputs, strict=True))
        units = sum(out[0].numel() for layer, out in pairs if layer in linear[:-1])
    else:
        units = alone
    if units > most:
        why = (
            " A Linear before Flatten has its units for each row of the image."
            if units > alone
            else ""
        )
        raise Problem(f"{units:,} hidden units; at most {most} are allowed.{why}")
    return f"{units} hidden units of at most {most}"


def kinds(names: Sequence[str]) -> list[type[nn.Module]]:
    """Layers of torch by their names."""
    return [getattr(nn, name) for name in names]


def need_required(layers: Sequence[nn.Module], required: Sequence[type[nn.Module]]) -> None:
    """At least one layer of each kind that is asked for."""
    missing = [
        kind.__name__ for kind in required if not any(type(layer) is kind for layer in layers)
    ]
    if missing:
        raise Problem(f"the network needs at least one {' and one '.join(missing)}.")


def need_few_parameters(model: nn.Module, layers: Sequence[nn.Module], limit: int) -> Iterator[str]:
    """Fewer parameters than the limit; says how many each layer has."""
    for layer in layers:
        if count := count_parameters(layer):
            yield f"{count:9,} parameters in {layer_in_short(layer)}"
    total = count_parameters(model)
    if total >= limit:
        raise Problem(f"{total:,} parameters; fewer than {limit:,} are allowed.")
    yield f"{total:9,} parameters together, of fewer than {limit:,}"


def need_dropping(layers: Sequence[nn.Module]) -> None:
    """A Dropout, where there is one, that drops something."""
    shares = [layer.p for layer in layers if type(layer) is nn.Dropout]
    if shares and max(shares) < LEAST_DROPOUT:
        raise Problem(f"the Dropout drops nothing: its probability is {max(shares):g}.")


def need_logits(model: nn.Module, layers: Sequence[nn.Module]) -> str:
    """Images go in, ten numbers for each come out, whatever else is in the batch."""
    model.eval()
    shape = image_shape(layers)
    images = torch.rand(IMAGES, *shape)
    out = pass_through(layers, images)[-1]
    need_shape(out, (IMAGES, CLASSES), f"the model's output for {IMAGES} images")
    if not torch.allclose(out[:1], model(images[:1]), atol=TOLERANCE):
        softmax = any(isinstance(one, nn.Softmax) and one.dim == 0 for one in layers)
        why = ": a Softmax runs over the batch, as its dim is 0" if softmax else ""
        raise Problem(f"the result for one image depends on the others in the batch{why}.")
    need_gradients(model, out)
    said = f"images (B, 1, {IMAGE_SIZE}, {IMAGE_SIZE}) give (B, {CLASSES})"
    if shape == (FLAT,):
        said = f"flat images (B, {FLAT}) give (B, {CLASSES}); train.py needs a Flatten"
    return f"{said}, gradients reach every parameter"


def image_shape(layers: Sequence[nn.Module]) -> tuple[int, ...]:
    """The shape in which the first layer wants an image."""
    first = next(iter(layers), None)
    flat = isinstance(first, nn.Linear) and first.in_features == FLAT
    return (FLAT,) if flat else (1, IMAGE_SIZE, IMAGE_SIZE)


def pass_through(layers: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """What each layer makes of images. Raises Problem where one can't take its input."""
    outputs: list[Tensor] = []
    unflattened: nn.Module | None = None
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.Linear) and x.dim() > 2:
            unflattened = unflattened or layer
        try:
            outputs.append(layer(x))
        except (RuntimeError, ValueError, IndexError) as problem:
            why = NOT_FLATTENED if layer is unflattened else first_line(problem)
            raise Problem(
                f"{type(layer).__name__} (layer {number}) can't take its input of shape "
                f"{tuple(x.shape)}: {why}"
            ) from None
        x = outputs[-1]
    if unflattened is not None and x.shape[1:] != (CLASSES,):
        raise Problem(f"{len(x)} images come out with shape {tuple(x.shape)}: {NOT_FLATTENED}")
    return outputs


def first_line(problem: BaseException) -> str:
    """The first line of what an exception says."""
    return (str(problem).splitlines() or ["no message"])[0]
