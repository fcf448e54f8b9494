"""The watch inside torch: it tells of ready-made attention by every road, and changes nothing.

A watch is for good, so each of these runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from autograder.hw5.probes.source_rules import BUILT_IN_ATTENTION

from .conftest import ROOT

BEGIN = """
import json, os, sys, threading
import torch
from torch import nn
from torch.nn import functional as F
from autograder.confined import observing, wire

reading, writing = os.pipe()
before = F.scaled_dot_product_attention, F.multi_head_attention_forward
q, k, v = (torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
own = (q @ k.transpose(-2, -1) / 2).softmax(-1) @ v
(of_own,) = torch.autograd.grad(own.square().sum(), q, retain_graph=True)
multi = nn.MultiheadAttention(4, 2, batch_first=True)
layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
some = torch.randn(2, 3, 4)
multi_before, layer_before = multi(some, some, some)[0], layer(some)
observing.watch(writing)
os.set_blocking(reading, False)

def told():
    try:
        data = os.read(reading, 1 << 16)
    except BlockingIOError:
        return []
    names = []
    while data:
        length, _ = wire.LENGTHS.unpack(data[: wire.LENGTHS.size])
        frame = data[wire.LENGTHS.size :][:length]
        names.append(json.loads(frame)["progress"]["called"])
        data = data[wire.LENGTHS.size + length :]
    return names

"""
REPORT = "\nprint(json.dumps(told()))\n"


def told_by(body: str) -> list[str]:
    """What the watch tells while the statements run."""
    program = BEGIN + textwrap.dedent(body) + REPORT
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert set(found) <= BUILT_IN_ATTENTION
    return found


ROADS = {
    "its name": "F.scaled_dot_product_attention(q, k, v)",
    "an alias from before": "before[0](q, k, v)",
    "an overload": "torch.ops.aten.scaled_dot_product_attention.default(q, k, v)",
    "what it is made of": "torch._scaled_dot_product_attention_math(q, k, v)",
    "a thread": """
        thread = threading.Thread(target=F.scaled_dot_product_attention, args=(q, k, v))
        thread.start()
        thread.join()
    """,
    "vmap": "torch.vmap(F.scaled_dot_product_attention)(q, k, v)",
    "without gradients": """
        with torch.inference_mode():
            F.scaled_dot_product_attention(q, k, v)
    """,
    "without hooks": """
        with torch._C.DisableTorchFunction():
            F.scaled_dot_product_attention(q, k, v)
    """,
    "traced": "torch.jit.trace(F.scaled_dot_product_attention, (q, k, v))",
    "multi-head attention": "multi(some, some, some)",
    "its function from before": """
        before[1](q, k, v, 4, 1, None, None, None, None, False, 0.0, torch.eye(4).double(), None,
                  use_separate_proj_weight=True, q_proj_weight=torch.eye(4).double(),
                  k_proj_weight=torch.eye(4).double(), v_proj_weight=torch.eye(4).double())
    """,
    "its fast path": "multi.eval()\nwith torch.no_grad():\n    multi(some, some, some)",
    "a layer": "layer(some)",
    "a layer's fast path": "with torch.no_grad():\n    layer(some)",
    "compiled from source": "torch.jit.script(multi)",
    "flex attention": """
        from torch.nn.attention.flex_attention import flex_attention
        flex_attention(*(torch.randn(1, 2, 16, 16) for _ in range(3)))
    """,
}


@pytest.mark.parametrize("body", ROADS.values(), ids=ROADS.keys())
def test_ready_made_attention_is_told_of_by_every_road(body):
    assert told_by(body) != []


def test_attention_of_ones_own_is_nothing_to_tell_of():
    body = """
        scores = torch.einsum("bqd,bkd->bqk", q, k) / 2
        F.dropout(nn.Softmax(-1)(scores) @ v, 0.1).sum().backward()
        F.softmax(torch.baddbmm(scores, q, k.transpose(1, 2)), -1)
        torch.vmap(lambda one: one.softmax(-1))(q)
        torch.jit.trace(lambda one: one.softmax(-1), (q,))
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU())(some)
    """
    assert told_by(body) == []


def test_what_is_watched_computes_what_it_did_before():
    body = """
        out = F.scaled_dot_product_attention(q, k, v)
        assert torch.allclose(out, own, atol=1e-12)
        (gradient,) = torch.autograd.grad(out.square().sum(), q)
        assert torch.allclose(gradient, of_own, atol=1e-12)
        assert torch.equal(multi(some, some, some)[0], multi_before)
        assert torch.equal(layer(some), layer_before)
    """
    assert told_by(body) != []


def test_it_is_told_of_often_enough_to_be_heard_and_no_oftener():
    body = "for _ in range(10_000):\n    torch._scaled_dot_product_attention_math(q, k, v)\n"
    assert told_by(body) == ["_scaled_dot_product_attention_math"] * 20
