"""Files that shadow, hook or replace what is imported."""

from .attack import Attack, probe

RAISE = "raise SystemExit('shadowed')\n"
EVERYTHING = "1a,3a,3b"

ATTACKS = {
    "torch, numpy and the standard library shadowed": Attack(
        {f"{name}.py": RAISE for name in ("torch", "numpy", "json", "random", "typing", "math")},
        EVERYTHING,
    ),
    "conftest and plugins": Attack(
        {"conftest.py": RAISE, "pytest.ini": "[pytest]\naddopts = --help\n", "plugin.py": RAISE},
        EVERYTHING,
    ),
    "start-up hooks": Attack(
        {"sitecustomize.py": RAISE, "usercustomize.py": RAISE, "x.pth": "import os; os._exit(1)\n"},
        EVERYTHING,
    ),
    "the grader shadowed": Attack(
        {"autograder/__init__.py": RAISE, "confined/__init__.py": RAISE}, EVERYTHING
    ),
    "the given code replaced": Attack(
        {"provided/__init__.py": RAISE, "provided/multi_head.py": RAISE}, EVERYTHING
    ),
    "a helper module beside": probe("import helper_that_was_not_submitted", always=True),
    "an import hook": Attack(
        {
            "attention.py": "import sys\nsys.meta_path.insert(0, None)\n"
            "sys.modules['encoder'] = None\nraise ImportError\n"
        },
        "3a,3b",
        lost=frozenset({"3a.4"}),
        may=frozenset(f"3a.{n}" for n in range(1, 7)),
    ),
}
