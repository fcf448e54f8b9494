"""Evade the rules of question 3a: built-in attention, under any name."""

from .attack import ALL_HEAD, Attack, head

CALL = "softmax_scores"
LOST = frozenset({"3a.2"})


def built_in(imports: str, call: str) -> Attack:
    """The reference's head with its own attention replaced by a call."""
    text = head().replace(
        "out = self.dropout(torch.matmul(attention, v))", f"out = self.dropout({call})"
    )
    return Attack({"attention.py": imports + "\n" + text}, lost=LOST)


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
}
