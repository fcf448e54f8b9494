"""Runs confined: tells the grader when torch's ready-made attention is called, by any road.

A watch stands inside torch, under every name that leads there: on the operators themselves,
so that no thread, overload, compiled program or mode goes past it, and in the code of the
Python functions that compose attention from other operators. It speaks before the call is
made, through the pipe to the grader, so there is no record here that could be emptied.

Code in the same process can still take a watch down with the means of ctypes or gc; the
rules on the source name those.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch.jit import frontend
from torch.nn import functional
from torch.nn.attention import flex_attention

from . import wire

TOLD = 20  # times that a function is told of: enough to be heard, too few to fill the pipe

OPERATORS = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
)
# Where torch keeps what computes them: for any tensor, for a CPU's, for nested ones, for vmap.
ANY = "CompositeImplicitAutograd"
PLACES = (ANY, "CPU", "NestedTensorCPU", "FuncTorchVmapMode", "FuncTorchBatched")
FUNCTIONS: tuple[Any, ...] = (
    functional.multi_head_attention_forward,
    flex_attention.flex_attention,
)

Tell = Callable[[], None]


def watch(descriptor: int) -> None:
    """From now on, tell through this pipe what ready-made attention is called; for good."""
    # Not torch.library.Library: anyone can find and call what takes down its kernels again.
    library = torch._C._dispatch_library("IMPL", "aten", "", __file__, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced is what is meant
        for name in OPERATORS:
            tell = _telling(descriptor, name)
            for place in PLACES:
                if torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", place):
                    _watch_operator(library, name, place, tell)
    by_name = {}
    for function in FUNCTIONS:
        by_name[function.__name__] = tell = _telling(descriptor, function.__name__)
        _run_before(function, _whatever_is_given(tell))
    _run_before(frontend.get_jit_def, _about_to_compile(by_name))


def _watch_operator(library: Any, name: str, place: str, tell: Tell) -> None:
    kernel = torch.library.get_kernel(f"aten::{name}", "CPU" if place == ANY else place)

    def told(keys: Any, *given: Any, _kept: Any = library, **named: Any) -> Any:
        tell()  # first: who takes the call over may not come back
        return kernel.call_boxed(keys, *given, **named)

    library.impl(name, place, told, True)  # True: with the keys that say what is given


def _telling(descriptor: int, name: str) -> Tell:
    """What tells of one function, the first few times. Needs nothing that can be replaced."""
    content = json.dumps({"progress": {"called": name}}).encode()
    frame = wire.LENGTHS.pack(len(content), 0) + content
    write, look, end, left = os.write, os.fstat, os._exit, itertools.repeat(None, TOLD)
    pipe = look(descriptor).st_ino

    def tell() -> None:
        for _ in itertools.islice(left, 1):
            if look(descriptor).st_ino != pipe:
                end(1)  # something else was put in its place, so that nobody listens
            while True:
                try:
                    write(descriptor, frame)  # short enough for a pipe to take as a whole
                    return
                except BlockingIOError:  # another thread fills the pipe
                    continue

    return tell


def _whatever_is_given(tell: Tell) -> Callable[..., None]:
    def told(*_: Any, **__: Any) -> None:
        tell()

    return told


def _about_to_compile(by_name: dict[str, Tell]) -> Callable[..., None]:
    """What tells of a function whose source torch compiles, so that its code never runs."""

    def told(function: Any, *_: Any, **__: Any) -> None:
        name = getattr(function, "__name__", "")
        if name in by_name:
            by_name[name]()

    return told


def _run_before(function: Any, first: Callable[..., Any]) -> None:
    """Have a function call another one first, with the same arguments, by whatever name it is had.

    Its code is exchanged, not its name: aliases, pickles and copies of the code lead there too.
    """
    own = function.__code__
    then = FunctionType(
        own, function.__globals__, own.co_name, function.__defaults__, function.__closure__
    )
    then.__kwdefaults__ = function.__kwdefaults__
    put_in = {"first": first, "then": then}
    function.__signature__ = inspect.signature(function)
    function.__code__ = _both.__code__.replace(
        co_consts=tuple(put_in.get(str(one), one) for one in _both.__code__.co_consts),
        co_filename=own.co_filename,
        co_firstlineno=own.co_firstlineno,
        co_name=own.co_name,
    )


def _both(*given: Any, **named: Any) -> Any:
    first: Any = "first"  # two constants that stand for functions: there is no name to rebind
    then: Any = "then"
    first(*given, **named)
    return then(*given, **named)
