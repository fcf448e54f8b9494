"""Starts the zygote of the workers by itself: `python -I -S -B start.py CONTROL ROOM PACKAGES…`.

Isolated mode keeps the environment, the user's site-packages and the working directory
out; -S keeps out .pth files, and with them the grader's own installation. What remains is
the standard library, the third-party packages, and two folders of the grader: this one, and
`confined` of the homework's room. Nothing else of `autograder` can be imported.

The command line forks its zygotes instead (see launch.py), which shares torch's memory;
this is for programs that import the grader.
"""

import functools
import importlib.util
import socket
import sys
from pathlib import Path
from types import ModuleType


def show_only(package: str, folders: dict[str, Path]) -> None:
    """Make a package importable that holds these sub-packages alone, dotted name -> folder."""
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = []
    for name, folder in folders.items():
        room = name.rpartition(".")[0]
        if room and f"{package}.{room}" not in sys.modules:
            show_only(f"{package}.{room}", {})
        spec = importlib.util.spec_from_file_location(
            f"{package}.{name}",
            folder / "__init__.py",
            submodule_search_locations=[str(folder)],
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)


if __name__ == "__main__":
    control, homework, *packages = sys.argv[1:]
    sys.path += packages
    here = Path(__file__).resolve().parent
    rooms = {"confined": here, f"{homework}.confined": here.parent / homework / "confined"}
    show_only("autograder", rooms)
    worker = importlib.import_module("autograder.confined.worker")
    zygote = importlib.import_module("autograder.confined.zygote")
    questions = importlib.import_module(f"autograder.{homework}.confined.questions")
    zygote.warm_up()
    serve = functools.partial(worker.serve, answerer=questions.Questions)
    zygote.Zygote(socket.socket(fileno=int(control)), serve).run()
