"""The rules read from source text: what is forbidden is found, what is plain is left alone."""

from __future__ import annotations

import pytest

from autograder.homework import HEAD, LAYER
from autograder.hw5.probes.source_rules import head_violations, layer_violations, lines_of
from autograder.hw5.verdicts.head import check_head_source
from autograder.hw5.verdicts.layer import check_layer_source
from autograder.rubric.feedback import Rejected

from .conftest import REFERENCE, TEMPLATE

FORBIDDEN = {
    "through nn": "from torch import nn\nnn.functional.scaled_dot_product_attention(q, k, v)",
    "through F": "import torch.nn.functional as F\nF.scaled_dot_product_attention(q, k, v)",
    "the whole path": "import torch\ntorch.nn.functional.scaled_dot_product_attention(q, k, v)",
    "by its name": (
        "from torch.nn.functional import scaled_dot_product_attention\n"
        "scaled_dot_product_attention(q, k, v)"
    ),
    "under another name": (
        "from torch.nn.functional import scaled_dot_product_attention as relu\nrelu(q, k, v)"
    ),
    "the class": "from torch import nn\nclass A(nn.MultiheadAttention): pass",
    "an encoder layer": "import torch.nn as n\nn.TransformerEncoderLayer(4, 1)",
    "an inner module": "import torch\ntorch.nn.modules.activation.MultiheadAttention(4, 1)",
    "an inner function": "import torch\ntorch._C._nn.scaled_dot_product_attention(q, k, v)",
    "an operator": "import torch\ntorch.ops.aten.scaled_dot_product_attention(q, k, v)",
    "a star": "from torch.nn.functional import *\nscaled_dot_product_attention(q, k, v)",
    "assigned": "import torch.nn.functional as F\nf = F.scaled_dot_product_attention\nf(q, k, v)",
    "a module assigned": "import torch.nn.functional as F\nG = F\nG.scaled_dot_product_attention",
    "a module assigned in an expression": (
        "import torch.nn.functional as F\n(G := F)\nG.scaled_dot_product_attention(q, k, v)"
    ),
    "a module assigned with a type": (
        "import torch.nn.functional as F\nG: object = F\nG.scaled_dot_product_attention(q, k, v)"
    ),
    "a module kept in self": (
        "import torch.nn.functional as F\nclass A:\n  def f(self):\n    self.F = F\n"
        "    return self.F.scaled_dot_product_attention(q, k, v)"
    ),
    "getattr": "from torch import nn\ngetattr(nn, 'MultiheadAttention')(4, 1)",
    "getattr of a made-up name": "import torch.nn.functional as F\ngetattr(F, 'scaled_' + x)",
    "the dictionary of a module": "from torch import nn\nnn.__dict__['MultiheadAttention'](4, 1)",
    "an import behind its use": (
        "def f(q):\n    return F.scaled_dot_product_attention(q, q, q)\n"
        "import torch.nn.functional as F\n"
    ),
    "an import in a function": (
        "def f(q):\n    from torch.nn import functional as g\n"
        "    return g.scaled_dot_product_attention(q, q, q)\n"
    ),
    "exec": "exec('import torch')",
    "eval": "eval('1')",
    "__import__": "__import__('torch')",
    "importlib": "import importlib\nimportlib.import_module('torch')",
    "a submodule of another library": "from torchvision.models import vit_b_16",
    "a block for another name": (
        "import torch.nn.functional as F\nif __name__ != '__main__':\n"
        "    f = F.scaled_dot_product_attention\n"
    ),
    "the other side of the main block": (
        "import torch.nn.functional as F\nif __name__ == '__main__':\n    pass\n"
        "else:\n    f = F.scaled_dot_product_attention\n"
    ),
    "the main block": (
        "from torch import nn\nif __name__ == '__main__':\n    print(nn.MultiheadAttention)\n"
    ),
    "imported in the main block": (
        "if __name__ == '__main__':\n    from torch.nn import MultiheadAttention\n"
    ),
    "a main block that runs": "__name__ = '__main__'\nif __name__ == '__main__':\n    import os\n",
    "a main block that another name runs": (
        "import attention\nsetattr(attention, '__name__', '__main__')\n"
        "if __name__ == '__main__':\n    eval('1')\n"
    ),
    "imported for another file": "from torch.nn import MultiheadAttention as Mix",
    "behind a long sum": (
        f"import torch.nn.functional as F\nx = {'+'.join(['0'] * 1500)}\n"
        "F.scaled_dot_product_attention(q, k, v)"
    ),
}


@pytest.mark.parametrize("source", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_ready_made_attention_is_found_however_it_is_reached(source):
    compile(source, "attention.py", "exec")  # it would run
    assert head_violations(source) != []
    assert layer_violations(source) != []


HEAD_ONLY = {
    "a layer": "from torch import nn\nnn.LayerNorm(4)",
    "a layer by its name": "from torch.nn import GELU\nGELU()",
    "a layer by a star": "from torch.nn import *\nLayerNorm(4)",
    "a function": "import torch.nn.functional as F\nF.normalize(x)",
    "a function by its name": "from torch.nn.functional import layer_norm\nlayer_norm(x)",
}


@pytest.mark.parametrize("source", HEAD_ONLY.values(), ids=HEAD_ONLY.keys())
def test_a_head_may_use_three_layers_and_an_encoder_layer_others(source):
    assert head_violations(source) != []
    assert layer_violations(source) == []


FINE = {
    "softmax as a function": "import torch\ntorch.softmax(x, dim=-1)",
    "softmax of F": "import torch.nn.functional as F\nF.softmax(x, dim=-1)",
    "softmax of a tensor": "x.softmax(-1)",
    "dropout of F": "from torch.nn import functional as F\nF.dropout(x)",
    "containers": "from torch import nn\nnn.ModuleList([nn.Linear(1, 2, bias=False)])",
    "a parameter": "import torch.nn as nn\nnn.Parameter(x); nn.init.xavier_uniform_(x)",
    "einsum": "import torch\ntorch.einsum('bqd,bkd->bqk', q, k)",
    "math": "import math\nmath.sqrt(4)",
    "a tensor's eval": "model.eval()",
    "its own method of that name": (
        "class A:\n  def scaled_dot_product_attention(self, q): pass\n"
        "  def f(self, q): return self.scaled_dot_product_attention(q)"
    ),
    "its own function of that name": (
        "def scaled_dot_product_attention(q): pass\nscaled_dot_product_attention(1)"
    ),
    "the main block": (
        "import torch.nn.functional as F\nfrom torch import nn\nif __name__ == '__main__':\n"
        "    import os, sys\n    print(F.gelu, nn.LayerNorm(4), eval('1'), sys.argv)\n"
    ),
    "the main block, turned round": (
        "if '__main__' == __name__:\n    import sys\n    sys.exit(0)\n"
    ),
    "a comment": "# scaled_dot_product_attention, nn.MultiheadAttention\n'nn.GELU'",
    "a variable called like a module": "signal = 1\ny = signal + 1",
    "an argument called like a module": "def f(inspect):\n    return inspect.shape",
    "a variable called like a function": "vars = [1]\nfor v in vars: print(v)",
    "nothing": "",
}


@pytest.mark.parametrize("source", FINE.values(), ids=FINE.keys())
def test_plain_work_breaks_no_rule(source):
    assert head_violations(source) == []
    assert layer_violations(source) == []


@pytest.mark.parametrize("folder", [REFERENCE, TEMPLATE], ids=["reference", "template"])
def test_our_own_files_break_no_rule(folder):
    assert head_violations((folder / "attention.py").read_text()) == []
    assert layer_violations((folder / "encoder.py").read_text()) == []


def test_a_violation_names_file_line_and_full_name():
    source = "import torch.nn.functional as F\n\n\ndef f(q):\n    return F.gelu(q)\n"
    (violation,) = head_violations(source)
    assert str(violation) == "attention.py, line 5: torch.nn.functional.gelu"
    (violation,) = layer_violations("\nimport os\n")
    assert str(violation) == "encoder.py, line 2: os"


def test_only_the_first_few_violations_are_listed():
    source = "from torch import nn\n" + "".join("nn.GELU()\n" for _ in range(8))
    lines = list(lines_of(head_violations(source)))
    assert len(lines) == 6
    assert lines[-1] == "… and 3 more"


@pytest.mark.parametrize(
    "source",
    ["class A(:\n", "\x00", "x = (" * 500, "-" * 100_000 + "1", "x" + ".a" * 100_000, "\t x\n y"],
    ids=["a syntax error", "a zero byte", "parentheses", "signs", "attributes", "indentation"],
)
def test_what_cannot_be_searched_is_not_allowed(source):
    for violations in (head_violations(source), layer_violations(source)):
        (violation,) = violations
        assert violation.is_unreadable
        assert f"line {violation.line}: the file can't be searched: " in str(violation)


@pytest.mark.parametrize("depth", [100, 900, 2830, 5000])
def test_attributes_deeper_than_the_search_goes_hide_nothing(depth):
    hidden = "import torch.nn.functional as F\nF.scaled_dot_product_attention(q, k, v)\n"
    source = f"if False:\n    torch{'.a' * depth}\n{hidden}"
    (violation,) = layer_violations(source)
    assert violation.is_built_in or violation.is_unreadable


def test_an_escape_that_python_does_not_know_is_no_reason_not_to_read_on():
    assert head_violations('"""softmax(QK^T / \\sqrt{d}) \\d"""\nimport math\n') == []


def test_the_main_block_is_named_as_such():
    source = "from torch import nn\nif __name__ == '__main__':\n    nn.Transformer()\n"
    (violation,) = layer_violations(source)
    assert str(violation) == (
        "encoder.py, line 3: torch.nn.Transformer (the rule covers the whole file, also what is "
        'under if __name__ == "__main__")'
    )


INDIRECT = "torch = __import__('torch')\n"
READY_MADE = "from torch import nn\nattention = nn.MultiheadAttention(4, 2)\n"


@pytest.mark.parametrize(
    ("check", "file"),
    [(check_head_source, HEAD.file), (check_layer_source, LAYER.file)],
    ids=["head", "layer"],
)
def test_what_is_reached_without_its_name_is_called_no_known_mistake(check, file):
    with pytest.raises(Rejected) as caught:
        check({file: INDIRECT})
    assert caught.value.feedback.diagnosis == ""
    assert "call it by its name" in caught.value.feedback.text()
    with pytest.raises(Rejected) as caught:
        check({file: INDIRECT + READY_MADE})
    assert caught.value.feedback.diagnosis.startswith("built-in")
