"""Evade the rules of question 3a: built-in attention, under any name, out of sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from textwrap import indent

from .attack import ALL_HEAD, REFERENCE, Attack, head

CALL = "softmax_scores"
LOST = frozenset({"3a.2"})


def built_in(imports: str, call: str) -> Attack:
    """The reference's head with its own attention replaced by a call."""
    text = head().replace(
        "out = self.dropout(torch.matmul(attention, v))", f"out = self.dropout({call})"
    )
    return Attack({"attention.py": imports + "\n" + text}, lost=LOST)


# Torch and its functions reached without an import that the rules follow.
UNSEEN = """from torch import nn
from torch.nn import functional as F
T = nn.Linear.forward.__globals__["torch"]
NAME = "scaled_dot_product" + "_attention"
mix = F.softmax.__globals__[NAME]
overload = T.ops.aten.__getattr__(NAME).default
"""
# What a program that hides from the rules holds in plain words: a call below torch's own hooks.
PLAIN = """
import torch
import torch.nn.functional as F
def mix(q, k, v):
    with torch._C.DisableTorchFunction():
        return F.scaled_dot_product_attention(q, k, v)
"""
# torch's multi-head attention with a single head and nothing projected.
MULTI_HEAD = """
def multi_head(run, q, k, v):
    q, k, v = (one.transpose(0, 1) for one in (q, k, v))
    size = q.shape[-1]
    one = torch.eye(size, dtype=q.dtype)
    out, _ = run(q, k, v, size, 1, one.repeat(3, 1), None, None, None, False, 0.0, one, None)
    return out.transpose(0, 1)
"""
MULTI_HEAD_NAME = "'multi_head_attention' + '_forward'"


def unseen(call: str, more: str = "", **holds: frozenset[str]) -> Attack:
    """The reference's head with a call of what no import names; `holds` says what must hold."""
    return replace(built_in(f"{UNSEEN}{more}", call), **holds)


def with_bytes(before: bytes, call: str = "mix(q, k, v)") -> Attack:
    """A head that begins with these bytes, in whatever encoding."""
    text = built_in("", call).files["attention.py"]
    assert isinstance(text, str)
    return Attack({"attention.py": before + text.encode()}, lost=LOST, may=ALL_HEAD)


def in_another_file(file: str, text: str, imports: str) -> Attack:
    """A head that imports its attention from another of the submission's files."""
    attack = built_in(imports, "mix(q, k, v)")
    return Attack({**attack.files, file: (REFERENCE / file).read_text() + text}, lost=LOST)


def escaped(text: str, spelled: Callable[[str], str]) -> bytes:
    """Statements that stand in a comment, until an encoding makes lines of it."""
    return f"#{spelled(chr(10))}{text.strip().replace(chr(10), spelled(chr(10)))}\n".encode()


ATTACKS = {
    "by its own name": built_in(
        "from torch.nn import functional as F", "F.scaled_dot_product_attention(q, k, v)"
    ),
    "imported under another name": built_in(
        "from torch.nn.functional import scaled_dot_product_attention as mix", "mix(q, k, v)"
    ),
    "kept in a variable": built_in(
        "import torch.nn.functional as F\nmix = F.scaled_dot_product_attention", "mix(q, k, v)"
    ),
    "through getattr": built_in(
        "import torch.nn.functional as F",
        "getattr(F, 'scaled_' + 'dot_product_attention')(q, k, v)",
    ),
    "through importlib": built_in(
        "import importlib",
        "getattr(importlib.import_module('torch.nn.functional'), 'scaled_dot_product_attention')"
        "(q, k, v)",
    ),
    "through exec": built_in(
        "space = {}\nexec('from torch.nn.functional import scaled_dot_product_attention as f', space)",
        "space['f'](q, k, v)",
    ),
    "through torch.ops": built_in(
        "import torch", "torch.ops.aten.scaled_dot_product_attention(q, k, v)"
    ),
    "through __dict__": built_in(
        "import torch.nn.functional as F",
        "F.__dict__['scaled_dot_product_attention'](q, k, v)",
    ),
    "through attrgetter": built_in(
        "import operator",
        "operator.attrgetter('nn.functional.scaled_dot_product_attention')(torch)(q, k, v)",
    ),
    "through a subclass's own lookup": built_in(
        "import torch.nn.functional as F\nfind = type(F).__getattribute__",
        "find(F, 'scaled_dot' + '_product_attention')(q, k, v)",
    ),
    "through the grader's own head": Attack(
        {"attention.py": "from autograder.hw5.confined.harness_head import HarnessHead as "
         "SingleHeadAttention\n"},
        lost=LOST,
        may=ALL_HEAD,
    ),
    "through the grader's own head, by name": Attack(
        {
            "attention.py": "found = [c for c in object.__subclasses__() if c.__name__ == 'Module']\n"
            "def below(kind):\n"
            "    return [kind, *(d for c in kind.__subclasses__() for d in below(c))]\n"
            "SingleHeadAttention = [c for c in below(found[0]) if c.__name__ == 'HarnessHead'][0]\n"
        },
        lost=LOST,
        may=ALL_HEAD,
    ),
    "through a star import": built_in(
        "from torch.nn.functional import *", "scaled_dot_product_attention(q, k, v)"
    ),
    "through a function's globals": unseen("mix(q, k, v)"),
    "in a thread of a pool": unseen(
        "pool(1).submit(mix, q, k, v).result()",
        "from concurrent.futures import ThreadPoolExecutor as pool\n",
    ),
    "in a thread of the lowest kind": unseen(
        "aside(q, k, v)",
        "import _thread\n"
        "def aside(*given):\n"
        "    found, lock = [], _thread.allocate_lock()\n"
        "    lock.acquire()\n"
        "    _thread.start_new_thread(lambda: (found.append(mix(*given)), lock.release()), ())\n"
        "    lock.acquire()\n"
        "    return found[0]\n",
    ),
    "an operator's overload": unseen("overload(q, k, v)"),
    "an operator that it is made of": unseen(
        "T.ops.aten.__getattr__('_scaled_dot_product_flash' + '_attention_for_cpu').default("
        "q[:, None], k[:, None], v[:, None])[0][:, 0]"
    ),
    "an operator's plain variant": unseen(
        "T.ops.aten.__getattr__(f'_{NAME}_math').default(q, k, v)[0]"
    ),
    "compiled from a text": unseen(
        "unit(q, k, v)",
        "import torch\ntext = f'def f(q, k, v):\\n    return torch._C._nn.{NAME}(q, k, v)\\n'\n"
        "unit = T.jit.CompilationUnit(text).f\n",
    ),
    "traced on import": unseen("traced(q, k, v)", "traced = T.jit.trace(mix, [T.ones(1, 2, 3)] * 3)\n"),
    "traced, saved and loaded": unseen(
        "loaded(q, k, v)",
        "import io\nfile = io.BytesIO()\n"
        "T.jit.save(T.jit.trace(mix, [T.ones(1, 2, 3)] * 3), file)\n"
        "file.seek(0)\nloaded = T.jit.load(file)\n",
    ),
    "compiled by torch": unseen(
        "compiled(q, k, v)", "compiled = T.compile(overload, backend='eager')\n"
    ),
    "with torch's hooks switched off": unseen(
        "silent(q, k, v)",
        "def silent(*given):\n    with T._C.DisableTorchFunction():\n        return mix(*given)\n",
    ),
    "with the observer taken off": unseen(
        "silent(q, k, v)",
        "def silent(*given):\n"
        "    watched = T.overrides._get_current_function_mode()\n"
        "    off = T.overrides._pop_mode_temporarily if watched else T.enable_grad\n"
        "    with off():\n        return mix(*given)\n",
    ),
    "with its record emptied": unseen(
        "silent(q, k, v)",
        "def silent(*given):\n    out = mix(*given)\n"
        "    for mode in T.overrides._get_current_function_mode_stack():\n"
        "        mode.called.clear()\n    return out\n",
    ),
    "for each sequence by vmap": unseen("T.vmap(overload)(q, k, v)"),
    "as a derivative's value": unseen("T.func.vjp(overload, q, k, v)[0]"),
    "inside a function of autograd": unseen(
        "Mixed.apply(q, k, v)",
        "class Mixed(T.autograd.Function):\n"
        "    @staticmethod\n    def forward(context, q, k, v):\n"
        "        with T.enable_grad():\n"
        "            given = [one.detach().requires_grad_() for one in (q, k, v)]\n"
        "            out = overload(*given)\n"
        "        context.kept = given, out\n        return out.detach()\n"
        "    @staticmethod\n    def backward(context, upstream):\n"
        "        given, out = context.kept\n"
        "        return T.autograd.grad(out, given, upstream)\n",
    ),
    "multi-head attention in a thread": unseen(
        "pool(1).submit(multi_head, F.softmax.__globals__[" + MULTI_HEAD_NAME + "], q, k, v).result()",
        "from concurrent.futures import ThreadPoolExecutor as pool\nimport torch\n" + MULTI_HEAD,
    ),
    "multi-head attention without its hook": unseen(
        "multi_head(copied, q, k, v)",
        "import types\nimport torch\n" + MULTI_HEAD
        + "known = F.softmax.__globals__\nreal = known[" + MULTI_HEAD_NAME + "]\n"
        "copied = types.FunctionType(real.__code__,\n"
        "    {**known, 'has_torch_function': lambda given: False}, 'f', real.__defaults__)\n",
    ),
    "multi-head attention compiled": unseen(
        "multi_head(compiled, q, k, v)",
        "import torch\n" + MULTI_HEAD
        + "scripted = T.jit.script(F.softmax.__globals__[" + MULTI_HEAD_NAME + "])\n"
        "def compiled(*given):\n    return scripted(*given)\n",
    ),
    "found by the path of its name": unseen(
        "silent(q, k, v)",
        "import pkgutil\nfound = pkgutil.resolve_name(f'torch.nn.functional:{NAME}')\n"
        "def silent(*given):\n    with T._C.DisableTorchFunction():\n        return found(*given)\n",
    ),
    "found among another module's modules": unseen(
        "pool(1).submit(found, q, k, v).result()",
        "import dataclasses\nfrom concurrent.futures import ThreadPoolExecutor as pool\n"
        "found = vars_of = dataclasses.sys.modules['torch._C._nn'].__getattribute__(NAME)\n",
    ),
    "out of a pickle": unseen(
        "silent(q, k, v)",
        "text = f'ctorch._C._nn\\n{NAME}\\n.'\n"
        "found = T.serialization.pickle.loads(text.encode())\n"
        "def silent(*given):\n    with T._C.DisableTorchFunction():\n        return found(*given)\n",
    ),
    "a module of its own for it": unseen(
        "silent(q, k, v)",
        "def silent(q, k, v):\n"
        "    attend = T.nn.attention.__dict__.get('none', overload)\n    return attend(q, k, v)\n",
    ),
    "with torch's libraries taken down": unseen(
        "mix(q, k, v)",
        "import weakref\nfor each in list(weakref.finalize._registry):\n"
        "    if 'library' in str(each.peek()):\n        each()\n",
    ),
    "by a kernel of its own": unseen(
        "mix(q, k, v)",
        "known = T.library.get_kernel(f'aten::{NAME}', 'AutogradCPU')\n"
        "mine = T.library.Library('aten', 'IMPL')\n"
        "mine.impl(NAME, lambda keys, *given: known.call_boxed(keys, *given),\n"
        "          'AutogradCPU', with_keyset=True)\n",
    ),
    "with another pipe in the grader's place": unseen(
        "silent(q, k, v)",
        "import dataclasses\nos = dataclasses.sys.modules['os']\n"
        "def silent(*given):\n"
        "    kept = {}\n"
        "    for number in range(3, 12):\n"
        "        try:\n            kept[number] = os.dup(number)\n"
        "        except OSError:\n            continue\n"
        "        os.dup2(os.pipe()[1], number)\n"
        "    out = mix(*given)\n"
        "    for number, copy in kept.items():\n        os.dup2(copy, number)\n"
        "    return out\n",
        may=ALL_HEAD,
    ),
    "by the code that torch's own was exchanged for": unseen(
        "multi_head(real, q, k, v)",
        "import torch\n" + MULTI_HEAD
        + "code = F.softmax.__globals__[" + MULTI_HEAD_NAME + "].__code__\n"
        "real = [one for one in code.co_consts if callable(one)][-1:] or [\n"
        "    F.softmax.__globals__[" + MULTI_HEAD_NAME + "]]\nreal = real[0]\n",
        lost=frozenset(),
        may=LOST,
        person=LOST,
    ),
    "with the watch found in memory": unseen(
        "mix(q, k, v)",
        "import dataclasses\nmodules = dataclasses.sys.modules\n"
        "for one in modules['gc'].get_objects():\n"
        "    if type(one) is type(lambda: 0) and one.__name__ == 'tell' and one.__closure__:\n"
        "        one.__code__ = (lambda a, b, c, d, e, f, g: lambda: (a, b, c, d, e, f, g)[7:])(\n"
        "            *range(7)).__code__\n",
        lost=frozenset(),
        may=ALL_HEAD,
        person=LOST,
    ),
    "by the steps of the watch left out": unseen(
        "silent(q, k, v)",
        "import dataclasses\nsystem = dataclasses.sys\n"
        "def stop(frame, event, given):\n"
        "    if frame.f_code.co_name == 'tell':\n"
        "        frame.f_trace = leave\n        return leave\n"
        "def leave(frame, event, given):\n"
        "    if event == 'line':\n"
        "        lines = [line for _, _, line in frame.f_code.co_lines() if line]\n"
        "        try:\n            frame.f_lineno = max(lines)\n"
        "        except ValueError:\n            pass\n"
        "    return leave\n"
        "def silent(*given):\n    system.settrace(stop)\n"
        "    try:\n        return mix(*given)\n    finally:\n        system.settrace(None)\n",
        lost=frozenset(),
        may=ALL_HEAD,
        person=LOST,
    ),
    "in a comment, by utf-7": with_bytes(
        b"# -*- coding: utf-7 -*-\n" + escaped(PLAIN.replace("+", "+-"), lambda mark: "+AAo-")
    ),
    "in a comment, by unicode_escape": with_bytes(
        b"# -*- coding: unicode_escape -*-\n" + escaped(PLAIN, lambda mark: "\\n")
    ),
    "in a comment, by raw_unicode_escape": with_bytes(
        b"# -*- coding: raw_unicode_escape -*-\n" + escaped(PLAIN, lambda mark: "\\u000a")
    ),
    "behind a byte order mark": with_bytes(b"\xef\xbb\xbf" + PLAIN.encode()),
    "behind attributes too deep to be read": with_bytes(
        f"if False:\n    PLAIN{'.a' * 2830}\n{PLAIN}".encode()
    ),
    "in a main block that runs": with_bytes(
        f"__name__ = '__main__'\nif __name__ == '__main__':\n{indent(PLAIN, '    ')}\n".encode()
    ),
    "in a main block": built_in(
        f"if __name__ == '__main__':\n{indent(PLAIN, '    ')}", "torch.matmul(attention, v)"
    ),
    "in models.py": in_another_file("models.py", PLAIN, "from models import mix"),
    "in models.py, the module imported": in_another_file(
        "models.py", PLAIN, "import models\ndef mix(*given):\n    return models.mix(*given)"
    ),
    "in encoder.py": in_another_file(
        "encoder.py", PLAIN, "def mix(*given):\n    from encoder import mix\n    return mix(*given)"
    ),
}
