"""Values of JSON that may be anything: what is of the expected kind, else nothing of that kind."""

from __future__ import annotations

import math
from typing import Any


def as_number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond floats
        return None


def as_text(value: object) -> str:
    """A text, or an empty one."""
    return value if isinstance(value, str) else ""


def as_list(value: object) -> list[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else []


def as_mapping(value: object) -> dict[str, Any]:
    """A mapping, or an empty one."""
    return value if isinstance(value, dict) else {}
