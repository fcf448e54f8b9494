"""What crosses the process boundary: round trips, and everything that is refused."""

from __future__ import annotations

import json
import os
import struct
import threading
import time
import tracemalloc

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from autograder.confined import wire

TENSORS = {
    "float64": torch.tensor([[1.5, -2.0, float("nan")]], dtype=torch.float64),
    "float32": torch.tensor([1e-30, float("inf")]),
    "float16": torch.arange(6).reshape(2, 3).half(),
    "bfloat16": torch.arange(4).bfloat16(),
    "int64": torch.tensor([2**62, -(2**62)]),
    "int32": torch.tensor([[[2**31 - 1]]], dtype=torch.int32),
    "uint8": torch.arange(256).to(torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "empty": torch.empty(0),
    "empty in one dimension": torch.empty(3, 0, 2, dtype=torch.int32),
    "a number": torch.tensor(3.25),
    "a truth": torch.tensor(False),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "a view with steps": torch.arange(10)[1::3],
}


def blob(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, offsets, dtype="U8", **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def frame(text: bytes, tensors: bytes = b"") -> bytes:
    return wire.LENGTHS.pack(len(text), len(tensors)) + text + tensors


def read_bytes(content: bytes, seconds: float = 5.0) -> wire.Message:
    """What a reader makes of these bytes, after which the other side closes."""
    ours, theirs = os.pipe()
    writer = threading.Thread(target=write_and_close, args=(theirs, content))
    writer.start()
    try:
        return wire.read(ours, seconds)
    finally:
        os.close(ours)
        writer.join()


def write_and_close(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        rest = memoryview(content)
        while rest:
            try:
                rest = rest[stream.write(rest) :]
            except BrokenPipeError:
                return


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, 0, 0, equal_nan=True)


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS.keys())
def test_a_tensor_arrives_as_it_was_sent(tensor):
    arrived = wire.decode_tensors(wire.encode_tensors({"it": tensor}))
    assert same(arrived["it"], tensor)
    assert arrived["it"].data_ptr() != tensor.data_ptr() or not tensor.numel()


def test_a_message_arrives_with_its_tensors_in_order():
    content = {"ask": "run", "list": [1, 2.5, None, True, "ü"], "nested": {"": {}}}
    arrived = read_bytes(wire.encode(wire.Message(content, TENSORS)))
    assert arrived.content == content
    assert list(arrived.tensors) == list(TENSORS)
    assert all(same(arrived.tensors[name], TENSORS[name]) for name in TENSORS)


def test_messages_follow_each_other_on_one_pipe():
    ours, theirs = os.pipe()
    for number in range(3):
        wire.write(theirs, wire.encode(wire.Message({"number": number})))
    assert [wire.read(ours, 1).content["number"] for _ in range(3)] == [0, 1, 2]
    os.close(ours)
    os.close(theirs)


def test_a_message_larger_than_the_pipe_goes_through():
    tensor = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    assert same(read_bytes(wire.encode(wire.Message({}, {"x": tensor}))).tensors["x"], tensor)


def test_files_of_the_safetensors_library_are_read():
    tensors = {
        "b": torch.randn(2, 3),
        "a": torch.arange(5),
        "c": torch.zeros(0, 4),
        "d": torch.ones(3, dtype=torch.uint8),
    }
    read = wire.decode_tensors(save(tensors, metadata={"format": "pt"}))
    assert read.keys() == tensors.keys()
    assert all(same(read[name], tensors[name]) for name in tensors)


JSON_REFUSED = {
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": [-Infinity]}',
    "a number too large for a float": b'{"a": 1e999}',
    "a negative number too large for a float": b'{"a": [-1e999]}',
    "a repeated key": b'{"a": 1, "a": 2}',
    "a repeated key further in": b'{"a": [{"b": 1, "b": 1}]}',
    "lists nested deeply": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects nested deeply": b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    "a huge whole number": b'{"a": ' + b"9" * 100_000 + b"}",
    "a list": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "nothing": b"",
    "half an object": b'{"a": 1',
    "two objects": b"{}{}",
    "no JSON": b"\x80\x04K\x01.",
    "no UTF-8": b'{"a": "\xff"}',
}


@pytest.mark.parametrize("text", JSON_REFUSED.values(), ids=JSON_REFUSED.keys())
def test_json_that_is_no_plain_object_is_refused(text):
    with pytest.raises(wire.WireError):
        wire.decode_json(text)
    with pytest.raises(wire.WireError):
        read_bytes(frame(text))


HUGE = wire.MAX_TENSOR_BYTES
TENSORS_REFUSED = {
    "fewer bytes than a length": b"\x01\x00",
    "a header longer than the rest": struct.pack("<Q", 100) + b"{}",
    "a header of 2**64 - 1 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
    "a header over the limit": blob(b"{}" + b" " * wire.MAX_TENSOR_HEADER_BYTES),
    "a header that is a list": blob([]),
    "a header that is no JSON": blob(b"\x80\x04"),
    "a repeated name": blob(
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    ),
    "data cut short": blob({"a": entry([4], [0, 4])}, b"abc"),
    "bytes after the data": blob({"a": entry([2], [0, 2])}, b"abc"),
    "bytes without a tensor": blob({}, b"abc"),
    "an overlap": blob({"a": entry([2], [0, 2]), "b": entry([2], [1, 3])}, b"abc"),
    "a gap": blob({"a": entry([1], [0, 1]), "b": entry([1], [2, 3])}, b"abc"),
    "a gap at the start": blob({"a": entry([1], [1, 2])}, b"ab"),
    "the same data twice": blob({"a": entry([2], [0, 2]), "b": entry([2], [0, 2])}, b"ab"),
    "a shape larger than the data": blob({"a": entry([3], [0, 2])}, b"ab"),
    "a shape smaller than the data": blob({"a": entry([1], [0, 2])}, b"ab"),
    "a dtype too wide for the data": blob({"a": entry([2], [0, 2], "F32")}, b"ab"),
    "an unknown dtype": blob({"a": entry([1], [0, 8], "C64")}, b"abcdefgh"),
    "a dtype that is a list": blob({"a": entry([1], [0, 1], ["U8"])}, b"a"),
    "a negative size": blob({"a": entry([-1], [0, -1])}),
    "two negative sizes": blob({"a": entry([-1, -1], [0, 1])}, b"a"),
    "a truth for a size": blob({"a": entry([True], [0, 1])}, b"a"),
    "a fraction for a size": blob({"a": entry([1.0], [0, 1])}, b"a"),
    "a huge size": blob({"a": entry([2**62, 2**62], [0, 0])}),
    "huge sizes around a zero": blob({"a": entry([HUGE] * 7 + [0], [0, 0])}),
    "huge sizes behind a zero": blob({"a": entry([0] + [HUGE] * 7, [0, 0])}),
    "a shape that is a string": blob({"a": entry("1", [0, 1])}, b"a"),
    "a shape that is an object": blob({"a": entry({}, [0, 1])}, b"a"),
    "offsets backwards": blob({"a": entry([1], [1, 0])}, b"a"),
    "three offsets": blob({"a": entry([1], [0, 1, 1])}, b"a"),
    "offsets far beyond": blob({"a": entry([1], [HUGE, HUGE + 1])}, b"a"),
    "nine dimensions": blob({"a": entry([1] * 9, [0, 1])}, b"a"),
    "a field too many": blob({"a": entry([1], [0, 1], strides=[1])}, b"a"),
    "a field missing": blob({"a": {"dtype": "U8", "shape": [0]}}),
    "an entry that is a list": blob({"a": ["U8", [0], [0, 0]]}),
    "an entry that is nothing": blob({"a": None}),
    "too many tensors": blob({str(i): entry([0], [0, 0]) for i in range(wire.MAX_TENSORS + 1)}),
}


@pytest.mark.parametrize("content", TENSORS_REFUSED.values(), ids=TENSORS_REFUSED.keys())
def test_bytes_that_are_no_plain_tensors_are_refused(content):
    with pytest.raises(wire.WireError):
        wire.decode_tensors(content)
    with pytest.raises(wire.WireError):
        read_bytes(frame(b"{}", content))


@pytest.mark.parametrize("value", [2, 255])
def test_a_truth_is_zero_or_one_or_refused(value):
    """A byte of 2 in a bool tensor would make it unequal to itself in some operations."""
    try:
        tensor = wire.decode_tensors(blob({"a": entry([1], [0, 1], "BOOL")}, bytes([value])))["a"]
    except wire.WireError:
        return
    assert int(tensor.view(torch.uint8)) in (0, 1)


def test_as_many_tensors_as_allowed_are_taken():
    header = {str(i): entry([0], [0, 0]) for i in range(wire.MAX_TENSORS)}
    assert len(wire.decode_tensors(blob(header))) == wire.MAX_TENSORS


@pytest.mark.parametrize(
    "lengths",
    [
        (wire.MAX_JSON_BYTES + 1, 0),
        (2, wire.MAX_TENSOR_BYTES + 1),
        (2**32 - 1, 2**64 - 1),
    ],
    ids=["JSON too long", "tensors too long", "both as long as can be"],
)
def test_an_announced_length_over_the_limit_is_refused_before_anything_is_allocated(lengths):
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError, match="announces"):
            read_bytes(wire.LENGTHS.pack(*lengths) + b"{}")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_announced_length_within_the_limit_allocates_only_what_arrives():
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireClosed):
            read_bytes(wire.LENGTHS.pack(2, wire.MAX_TENSOR_BYTES) + b"{}")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kept", [0, 1, 11, 12, 13, 20])
def test_a_pipe_closed_in_the_middle_of_a_frame_is_named_so(kept):
    whole = wire.encode(wire.Message({"ask": "x"}, {"t": torch.ones(3)}))
    with pytest.raises(wire.WireClosed):
        read_bytes(whole[:kept])


def test_a_sender_that_drips_bytes_meets_the_deadline_of_the_whole_frame():
    ours, theirs = os.pipe()
    stop = threading.Event()

    def drip():
        for byte in wire.encode(wire.Message({"text": "x" * 1000})):
            if stop.wait(0.02):
                return
            os.write(theirs, bytes([byte]))

    writer = threading.Thread(target=drip)
    writer.start()
    started = time.monotonic()
    with pytest.raises(wire.WireTimeout):
        wire.read(ours, 0.3)
    assert 0.2 < time.monotonic() - started < 10  # all that drips would take twice as long
    stop.set()
    writer.join()
    os.close(ours)
    os.close(theirs)


def test_a_receiver_that_never_reads_meets_the_deadline_of_a_write():
    ours, theirs = os.pipe()
    with pytest.raises(wire.WireTimeout):
        wire.write(theirs, bytes(1 << 20), 0.2)
    os.close(ours)
    with pytest.raises(wire.WireClosed):
        wire.write(theirs, b"x", 0.2)
    os.close(theirs)


def test_what_breaks_the_limits_is_not_sent():
    with pytest.raises(wire.WireError):
        wire.encode(wire.Message({"text": "x" * wire.MAX_JSON_BYTES}))
    big = torch.zeros(wire.MAX_TENSOR_BYTES + 8, dtype=torch.uint8)
    with pytest.raises(wire.WireError):
        wire.encode(wire.Message({}, {"x": big}))


def outcome_of(content: bytes) -> None:
    """Reads bytes; anything but a message or one of the wire's own errors fails the test."""
    try:
        message = read_bytes(content)
    except (wire.WireError, wire.WireClosed):
        return
    assert type(message.content) is dict
    assert all(type(tensor) is torch.Tensor for tensor in message.tensors.values())
    assert all(tensor.layout == torch.strided for tensor in message.tensors.values())


@settings(max_examples=150)
@given(st.binary(max_size=300))
@example(frame(b"{}", blob({"__metadata__": 3})))
def test_any_bytes_are_a_message_or_a_wire_error(content):
    outcome_of(content)
    outcome_of(frame(b"{}", content))
    outcome_of(frame(content))
    outcome_of(frame(b"{}", blob(content)))


SIZES = st.one_of(
    st.integers(-1, 4), st.sampled_from([True, None, 1.5, "1", 2**31, HUGE, HUGE + 1, 2**70])
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from([*wire.DTYPES, "F8", ""]), st.integers(), st.none()),
        "shape": st.one_of(st.lists(SIZES, max_size=10), SIZES),
        "data_offsets": st.one_of(st.lists(SIZES, max_size=3), SIZES),
    }
)


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=5), ENTRIES, max_size=4), st.binary(max_size=32))
def test_any_description_of_tensors_is_a_message_or_a_wire_error(header, data):
    outcome_of(frame(b"{}", blob(header, data)))
