"""YAML from a submission: plain values, and no more work than its length asks for."""

from __future__ import annotations

from typing import Any

import yaml


class PlainLoader(yaml.SafeLoader):
    """Reads plain values; aliases are refused, as a few of them can stand for millions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next value. Raises MarkedYAMLError at an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not supported here", problem_mark=mark)
        return super().compose_node(parent, index)
