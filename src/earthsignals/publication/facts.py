"""Constants of nature, instruments and literature that prose may state: `reports/paper/facts.yaml`.

    path: {value: "100", unit: cm, meaning: absorption path, source: "params: tdlas.gas.path_cm"}
    best-f1: {value: "0.608", meaning: best published pixel F1, source: Růžička et al. 2023}

The value is the text as prose writes it, the unit (or noun) what follows it there. A source `params: key` is
checked against params.yaml; several keys stand with commas between, and the value holds as many numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from earthsignals.params import ParamsError, Section, read_yaml, scale_changes, validate

FACTS = "reports/paper/facts.yaml"
NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:[,\u202f]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+−]?\d+)?")


class Fact(Section):
    """One constant and where it is from."""

    value: Annotated[str, Field(min_length=1)]
    unit: str = ""
    meaning: str
    source: Annotated[str, Field(min_length=1)]

    @property
    def text(self) -> str:
        """As prose writes it: value and unit with a space between."""
        return f"{self.value} {self.unit}".strip()


def load_facts(path: str | Path = FACTS) -> dict[str, Fact]:
    """The facts by id; raises ParamsError naming the entry that is wrong."""
    return {
        str(name): validate(Fact, entry, source=FACTS, prefix=str(name))
        for name, entry in read_yaml(path).items()
    }


def check_facts(facts: Mapping[str, Fact], params: Mapping[str, Any]) -> None:
    """Raises ParamsError where a fact from params.yaml has another value there, naming all such.

    params: plain values as `laptop_params` gives them.
    """
    wrong = []
    for name, fact in facts.items():
        keys = fact.source.removeprefix("params:")
        if keys == fact.source:
            continue
        stated = [as_number(found) for found in NUMBER.findall(fact.value)]
        held = [_lookup(params, key.strip()) for key in keys.split(",")]
        if stated != held:
            wrong.append(f"`{name}` says {fact.value}, {keys.strip()} is {', '.join(map(str, held))}")
    if wrong:
        raise ParamsError(f"{FACTS}: {'; '.join(wrong)}; correct the value, and the prose that states it")


def laptop_params(root: Path) -> dict[str, Any]:
    """Plain values of params.yaml at the scale laptop, whichever it is at: the scale that prose speaks of."""
    params = read_yaml(root / "params.yaml")
    for change in scale_changes("laptop", root / "params.yaml", root / "scales.yaml"):
        *sections, key = change.key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = change.new
    return params


def as_number(text: str) -> float:
    """`50,000` or `−1.5e-3` as a number."""
    return float(text.replace(",", "").replace("\u202f", "").replace("−", "-"))


def _lookup(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value
