"""What crosses between the grader and the worker: JSON and plain dense tensors, in frames.

A frame is two big-endian lengths (JSON bytes, tensor bytes), the JSON object, and the
tensors in the safetensors format. Both sides import this module; nothing in it runs,
unpickles or trusts what it reads. Everything is bounded before it is allocated, and a
deadline covers a whole frame, so a sender that drips bytes gains nothing.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

LENGTHS = struct.Struct(">IQ")
MAX_JSON_BYTES = 1 << 20
MAX_TENSOR_BYTES = 48 << 20  # the 10,000 test images are 7.8 MB, a model's gradients 3.6 MB
MAX_TENSOR_HEADER_BYTES = 256 << 10
MAX_TENSORS = 2048
MAX_DIMENSIONS = 8
MAX_NAME = 250  # characters of a tensor's name; the given model's have 46
MAX_DIGITS = 20  # of a whole number; the widest that a tensor holds have 19
CHUNK_BYTES = 1 << 20
LOOK_SECONDS = 0.5  # how often a reader that waits looks up

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class WireError(ValueError):
    """The bytes are not a message: too long, not JSON, not plain tensors."""


class WireClosed(Exception):
    """The other side closed its end, at once or in the middle of a frame."""


class WireTimeout(Exception):
    """The frame was not complete when its time was up."""


@dataclass(frozen=True)
class Message:
    """A JSON object and named tensors that go with it."""

    content: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def encode(message: Message) -> bytes:
    """The frame for a message. Raises WireError where it would break the limits."""
    try:
        text = json.dumps(message.content, allow_nan=False).encode()
        blob = encode_tensors(message.tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as problem:  # a sparse tensor, say
        raise WireError(f"it can't be written: {problem}") from problem
    if len(text) > MAX_JSON_BYTES or len(blob) > MAX_TENSOR_BYTES:
        raise WireError(f"a message of {len(text)} + {len(blob)} bytes is too long to send")
    return LENGTHS.pack(len(text), len(blob)) + text + blob


def read(
    descriptor: int,
    seconds: float | None = None,
    idle: Callable[[], list[int]] | None = None,
    drain: Callable[[int], None] | None = None,
) -> Message:
    """The next message from a pipe, within `seconds` in all (None: wait as long as it takes).

    `idle` names further descriptors to watch meanwhile; `drain` is called with each that
    has something to read. Raises WireClosed, WireTimeout or WireError.
    """
    reader = _Reader(descriptor, seconds, idle or list, drain)
    json_bytes, tensor_bytes = LENGTHS.unpack(reader.take(LENGTHS.size))
    if json_bytes > MAX_JSON_BYTES or tensor_bytes > MAX_TENSOR_BYTES:
        raise WireError(f"it announces {json_bytes} + {tensor_bytes} bytes")
    text = bytes(reader.take(json_bytes))
    return Message(decode_json(text), decode_tensors(reader.take(tensor_bytes)))


def write(descriptor: int, frame: bytes, seconds: float | None = None) -> None:
    """Send a whole frame within `seconds`. Raises WireClosed or WireTimeout."""
    deadline = None if seconds is None else time.monotonic() + seconds
    rest = memoryview(frame)
    os.set_blocking(descriptor, False)
    while rest:
        _wait(deadline, [], [descriptor])
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            continue
        except BrokenPipeError as closed:
            raise WireClosed from closed


def decode_json(text: bytes) -> dict[str, Any]:
    """A JSON object without NaN, infinities or repeated keys. Raises WireError."""
    try:
        content = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_refuse_repeated,
        )
    except (ValueError, RecursionError) as problem:
        raise WireError(f"it is not valid JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise WireError("it is not a JSON object")
    return content


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors in the safetensors format; empty bytes for none."""
    if not tensors:
        return b""
    header, chunks, offset = {}, [], 0
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        data = _bytes_of(plain)
        header[name] = {
            "dtype": NAMES[plain.dtype],
            "shape": list(plain.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)


def decode_tensors(blob: bytes | bytearray) -> dict[str, Tensor]:
    """Plain dense tensors re-created from safetensors bytes, which are checked throughout.

    Stricter than the format: few dimensions, known dtypes, no repeated names, data without
    gaps or overlaps. Values may still be NaN: who compares must look. Raises WireError.
    """
    if not blob:
        return {}
    header, data = _split_header(blob)
    tensors: dict[str, Tensor] = {}
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if len(name) > MAX_NAME:
            raise WireError(f"a tensor's name has {len(name)} characters, more than {MAX_NAME}")
        dtype, shape, start, stop = _checked_entry(name, entry)
        if start != end or stop > len(data):
            raise WireError(f"tensor {name[:60]!r} lies outside its data")
        end = stop
        tensors[name] = _from_bytes(data[start:stop], dtype, shape)
    if end != len(data):
        raise WireError("there are bytes that belong to no tensor")
    return tensors


def _from_bytes(data: memoryview, dtype: torch.dtype, shape: list[int]) -> Tensor:
    """A new tensor; bytes other than 0 and 1 are True in a tensor of truth values."""
    if not data:
        return torch.zeros(shape, dtype=dtype)
    if dtype == torch.bool:
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).ne(0).view(shape)
    return torch.frombuffer(bytearray(data), dtype=dtype).view(shape)


def _split_header(blob: bytes | bytearray) -> tuple[dict[str, Any], memoryview]:
    if len(blob) < 8:
        raise WireError("the tensors are cut short")
    (length,) = struct.unpack("<Q", blob[:8])
    if length > min(MAX_TENSOR_HEADER_BYTES, len(blob) - 8):
        raise WireError("the tensors' header is too long")
    header = decode_json(bytes(blob[8 : 8 + length]))
    if len(header) > MAX_TENSORS:
        raise WireError(f"{len(header)} tensors are too many")
    return header, memoryview(blob)[8 + length :]


def _checked_entry(name: str, entry: object) -> tuple[torch.dtype, list[int], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WireError(f"tensor {name[:60]!r} has no proper description")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WireError(f"tensor {name[:60]!r} has an unexpected dtype")
    if (
        not _are_sizes(shape)
        or len(shape) > MAX_DIMENSIONS
        or prod(size for size in shape if size) > MAX_TENSOR_BYTES
    ):
        raise WireError(f"tensor {name[:60]!r} has an unexpected shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise WireError(f"tensor {name[:60]!r} has unexpected offsets")
    if offsets[1] - offsets[0] != prod(shape) * DTYPES[dtype].itemsize:
        raise WireError(f"tensor {name[:60]!r} has data of another size than its shape")
    return DTYPES[dtype], shape, offsets[0], offsets[1]


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size <= MAX_TENSOR_BYTES for size in value
    )


def _bytes_of(tensor: Tensor) -> bytes:
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _wait(deadline: float | None, readable: list[int], writable: list[int]) -> list[int]:
    """The readable descriptors, once there is one or a writable one, or after a moment.

    Raises WireTimeout.
    """
    left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
    if left <= 0:
        raise WireTimeout
    ready, _, _ = select.select(readable, writable, [], min(left, LOOK_SECONDS))
    return ready


class _Reader:
    """Takes exact numbers of bytes off a pipe, in chunks, until one deadline."""

    def __init__(
        self,
        descriptor: int,
        seconds: float | None,
        idle: Callable[[], list[int]],
        drain: Callable[[int], None] | None,
    ) -> None:
        self._descriptor = descriptor
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._idle = idle
        self._drain = drain

    def take(self, length: int) -> bytearray:
        taken = bytearray()
        while len(taken) < length:
            ready = _wait(self._deadline, [self._descriptor, *self._idle()], [])
            for other in ready:
                if other != self._descriptor and self._drain is not None:
                    self._drain(other)
            if self._descriptor in ready:
                chunk = os.read(self._descriptor, min(CHUNK_BYTES, length - len(taken)))
                if not chunk:
                    raise WireClosed
                taken += chunk
        return taken
