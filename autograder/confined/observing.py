"""Runs confined: notes which of torch's ready-made attention is called, whatever its name.

The static rules read the source; this sees what runs. It can be got round, from another
thread for one, so it adds to the rules and replaces none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode


class Observed(TorchFunctionMode):
    """Within its block, collects which of the named torch functions are called."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self._names = frozenset(names)
        self.called: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Note the call and make it."""
        name = getattr(func, "__name__", "")
        if name in self._names:
            self.called.add(name)
        return func(*args, **(kwargs or {}))
