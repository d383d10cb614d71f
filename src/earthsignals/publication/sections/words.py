"""Numbers as README.md writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Numbers = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first stand to the right."""
    ruler = ["---", *(["--:"] * (len(head) - 1))]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def three_digits(value: float) -> str:
    """`3.48`, `11.9`, `1,234`."""
    return f"{value:#.3g}" if value < 100 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of one in percent, three digits."""
    return f"{100 * share:.3g} %"


def seconds(seconds: float) -> str:
    """Seconds, or minutes from one and a half of them on."""
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def measured_on(found: Numbers) -> str:
    """The sentence that names the machine, from the keys that the benchmark wrote."""
    machine = {
        key.removeprefix("machine."): value for key, value in found.get("machine", {}).items()
    }
    parts = [machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else None]
    parts += [f"{machine['memory_gb']} GB" if "memory_gb" in machine else None, machine.get("os")]
    named = ", ".join(str(part) for part in parts if part)
    return f" Measured on: {named}." if named else ""
