"""Values as the store and the record want them: flat, short, and without this machine's paths."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested mappings, in order."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def text(value: Any) -> str:
    """Return a parameter's or tag's text; lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return json.dumps(value, default=str)
    return repr(value) if isinstance(value, float) and math.isfinite(value) else str(value)


def key(name: str) -> str:
    """Return a name MLflow accepts: letters, digits and ``_-. :/``, at most 250."""
    return re.sub(r"[^\w\-. :/]", "_", str(name), flags=re.ASCII)[:250]


def one_line(text: str) -> str:
    """Text of a foreign file as a terminal may be given it: no line ends, no control characters."""
    return "".join(each if each.isprintable() else " " for each in text)


def seconds(written: Any) -> float | None:
    """A duration that a tag tells; None where it is absent, not a number, infinite or negative."""
    try:
        value = float(written)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value >= 0 else None


def portable(value: str, root: Path) -> str:
    """Make paths below the root relative, and hide the home folder (it names the user)."""
    value = value.replace(f"{root.as_posix()}/", "").replace(root.as_posix(), ".")
    home = str(Path.home())
    return value.replace(home, "~") if len(home) > 1 else value


def batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Yield consecutive lists of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def now_ms() -> int:
    """Return milliseconds since 1970, MLflow's clock."""
    return int(time.time() * 1000)
