"""Forge the score."""

from .attack import ALL_HEAD, SURROUNDINGS, Attack, in_forward, on_import, probe, wrong_head

WRONG = frozenset({"3a.4"})
FC = """
from torch import nn
from provided.training import Training
{before}
def build_fully_connected():
    {body}
FULLY_CONNECTED_TRAINING = Training(learning_rate=1e-3)
def build_cnn():
    raise NotImplementedError
CNN_TRAINING = Training(learning_rate=1e-3)
"""


def forged_head(before: str, result: str = "torch.zeros(*x.shape[:2], 5)") -> Attack:
    return Attack({"attention.py": wrong_head(before, result)}, lost=WRONG, may=ALL_HEAD)


def model(body: str, lost: set[str], before: str = "") -> Attack:
    text = FC.format(body=body, before=before)
    rest = {"2b.1", "2b.2", "2b.3"} - lost
    return Attack({"models.py": text}, "2b", frozenset(lost), frozenset(rest))


ATTACKS = {
    "write results.json wherever it may be": probe(f"""
        import glob
        for file in glob.glob('{SURROUNDINGS}/*/results.json'):
            open(file, 'a').close()
            return True
        return False
    """),
    "patch torch's comparisons": forged_head("""
        import torch
        torch.allclose = torch.equal = torch.Tensor.allclose = lambda *a, **k: True
        torch.testing.assert_close = lambda *a, **k: None
    """),
    "patch builtins": forged_head("""
        import builtins
        builtins.abs = builtins.max = lambda *a, **k: 0
        builtins.all = builtins.any = lambda *a: True
    """),
    "patch json so that replies carry a score": forged_head("""
        import json
        plain = json.dumps
        json.dumps = lambda value, **k: plain({**value, 'score': 48} if isinstance(value, dict) else value)
    """),
    "an object that is equal to everything": Attack(
        {
            "attention.py": wrong_head(
                """
            class Equal:
                def __eq__(self, other): return True
                def __getattr__(self, name): return self
                def __call__(self, *a, **k): return self
        """,
                "Equal()",
            )
        },
        lost=ALL_HEAD - {"3a.2"},
        may=ALL_HEAD,
    ),
    "a tensor subclass that lies": forged_head(
        """
        import torch
        class Liar(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                if func.__name__ in ('sub', 'allclose', 'equal', 'isfinite'):
                    return torch.zeros(())
                return super().__torch_function__(func, types, args, kwargs or {})
    """,
        "torch.zeros(*x.shape[:2], 5, dtype=x.dtype).as_subclass(Liar)",
    ),
    "a reply written straight to the pipe": forged_head("""
        import os, sys
        worker = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        frame = worker.encode(worker.Message({'handle': 0, 'parameters': [], 'modules': []}))
        for descriptor in range(3, 20):
            try: os.write(descriptor, frame)
            except OSError: pass
    """),
    "answers sent before the questions": Attack(
        {
            "attention.py": in_forward("""
            import os, sys, torch
            wire = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
            frame = wire.encode(wire.Message({'outputs': 1}, {'output:0': torch.zeros(3, 7, 5)}))
            for descriptor in range(3, 20):
                try: os.write(descriptor, frame)
                except OSError: pass
        """)
        },
        may=ALL_HEAD,
        lost=WRONG,
    ),
    "the worker's own answering replaced": forged_head("""
        import sys
        module = [m for n, m in sys.modules.items() if n.endswith('confined.answerer')][0]
        module.Answerer.run = lambda self, tensors, **k: module.Message({'outputs': 1, 'score': 3})
    """),
    "gradients made up": Attack(
        {
            "attention.py": on_import("""
            import torch
            torch.autograd.grad = lambda outputs, inputs, *a, **k: [torch.ones_like(i) for i in inputs]
        """)
        },
        lost=frozenset({"3a.5"}),
    ),
    "a layer that lies about its size": model(
        "layer = nn.Linear(784, 100); layer.out_features = 10; "
        "return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(100, 10))",
        {"2b.3"},
    ),
    "a hidden network inside a custom layer": model(
        "return nn.Sequential(nn.Flatten(), ReLU(), nn.Linear(500, 10))",
        {"2b.1", "2b.3"},
        "class ReLU(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.net = [nn.Linear(784, 500)]\n"
        "    def forward(self, x):\n        return self.net[0](x)\n",
    ),
    "a subclass that is called Linear": model(
        "return nn.Sequential(nn.Flatten(), Linear(784, 10))",
        {"2b.1", "2b.3"},
        "class Linear(nn.Linear):\n    pass\n",
    ),
    "a Sequential that pretends": model(
        "return Model(nn.Linear(784, 10))",
        {"2b.3"},
        "class Model(nn.Sequential):\n    def forward(self, x):\n        return x.new_ones(len(x), 10)\n"
        "    @property\n    def _modules(self):\n        return {}\n    @_modules.setter\n"
        "    def _modules(self, value):\n        pass\n",
    ),
    "a million layers": model("return nn.Sequential(*[nn.ReLU()] * 1_000_000)", {"2b.1", "2b.3"}),
    "a Sequential that contains itself": model(
        "s = nn.Sequential(nn.Linear(784, 10)); s._modules['1'] = s; return s", {"2b.1", "2b.3"}
    ),
    "absurd sizes": model(
        "l = nn.Linear(2, 2); l.in_features = l.out_features = 10**18; return nn.Sequential(l)",
        {"2b.2", "2b.3"},
    ),
    "sizes that are not numbers": model(
        "l = nn.Linear(2, 2); l.out_features = float('nan'); return nn.Sequential(l, l)",
        {"2b.2", "2b.3"},
    ),
}
