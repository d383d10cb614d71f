"""The table of docs/scale.md: measured slopes times the numbers of items that people ask for."""

from __future__ import annotations

from typing import Any

from earthsignals.publication.sections.words import Numbers, measured_on, table, three_digits

HOUR, DAY = 3600.0, 86_400.0


def scale_table(found: Numbers) -> str:
    """The section's Markdown from `reports/benchmarks/scale.json`."""
    head = ["work", "items", "per item", "in all, one core", "USD", "memory of the process", "disk"]
    rows = []
    for row in found["rows"]:
        items = row["items"]
        total = row["seconds_fixed"] + row["seconds_per_item"] * items
        rows.append([
            row["name"], f"{items:,} {row['unit']}", _time(row["seconds_per_item"]), _time(total),
            three_digits(total / HOUR / found["cores"] * found["price_per_hour_usd"]),
            _bytes(row["memory_bytes_fixed"] + row["memory_bytes_per_item"] * items),
            _bytes(row["disk_bytes_per_item"] * items) if row["disk_bytes_per_item"] else "–",
        ])  # fmt: skip
    note = (
        f"Seconds are processor seconds, from two sizes each, the larger {_sizes(found['rows'])}. USD: at "
        f"{found['price_per_hour_usd']:g} an hour for a machine with {found['cores']} such cores, all busy. "
        "Memory that grew by less than a tenth between the sizes is taken as bounded."
        f"{measured_on(found)}"
    )
    return "\n".join([*table(head, rows), "", note])


def _sizes(rows: list[Any]) -> str:
    return "of " + ", ".join(f"{round(row['measured'][-1]['items'], 2):,} {row['unit']}" for row in rows)


def _time(seconds: float) -> str:
    for size, unit in ((2 * DAY, "days"), (2 * HOUR, "hours"), (120.0, "minutes"), (1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            scale = {"days": DAY, "hours": HOUR, "minutes": 60.0}.get(unit, size)
            return f"{three_digits(seconds / scale)} {unit}"
    return f"{three_digits(1e6 * seconds)} µs"


def _bytes(number: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{three_digits(number / size)} {unit}"
    return f"{three_digits(number / 1e3)} kB"
