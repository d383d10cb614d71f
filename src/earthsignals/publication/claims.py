"""What was claimed beside what was measured: verdicts on `reports/claims.yaml` and `reports/expected.yaml`.

A claim states a number, where it stands, how it compares with what runs wrote, and the verdict that is
promised. Verdicts are computed, never typed:

- reproduced: within `tolerance` of the number, inside the range, or on the right side of the bound;
- better: beyond it, on the side that `better` names;
- not reproduced: beyond it on the other side, or on either where no side is better;
- not measured: nothing comparable was measured, or at another scale than the promise is made for.

A verdict worse than promised is a regression.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from earthsignals.params import ParamsError, Section, read_yaml, validate
from earthsignals.publication.expectations import (
    Expectation,
    current_scales,
    judge,
    load_expectations,
    lookup,
)
from earthsignals.publication.measurements import Files, Measured, measure
from earthsignals.storage import write_json

CLAIMS, EXPECTED, JUDGED = "reports/claims.yaml", "reports/expected.yaml", "reports/claims.json"

Verdict = Literal["better", "reproduced", "not reproduced", "not measured"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_RANK = {verdict: -number for number, verdict in enumerate(VERDICTS)}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"
_BOUND = re.compile(rf"(<=|>=|<|>)\s*{_NUMBER}")
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")
_METRICS = re.compile(r"reports/(\w+)/metrics\.json: ")


class Claim(Section):
    """One claim. `expected`: a number, several, `LOW .. HIGH`, or `< BOUND`."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    claim: str
    source: str
    expected: float | str | tuple[float, ...]
    unit: str = ""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """Relative; of a single number or of the ends of a range."""
    better: Literal["lower", "higher"] | None = None
    measured: str | None = None
    """Where the number stands (see measurements.py); None: nowhere."""
    beside: str | None = None
    """What was measured instead, where nothing comparable was; shown, never judged."""
    how: str
    promised: Verdict
    because: str | None = None
    scale: str | None = None
    """The scale at which it is promised; laptop for what a pipeline's metrics.json holds."""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        text = self.expected
        if isinstance(text, str) and not (_BOUND.fullmatch(text) or _RANGE.fullmatch(text)):
            raise ValueError(f"expected (`{text}`) must be a number, `LOW .. HIGH` or `< BOUND`")
        ends = _RANGE.fullmatch(text) if isinstance(text, str) else None
        if ends and float(ends[1]) > float(ends[2]):
            raise ValueError(f"expected (`{text}`) is empty: its ends are the wrong way round")
        if text == ():
            raise ValueError("expected is an empty list; give the numbers, or one number")
        if self.promised == "not reproduced" and not self.because:
            raise ValueError("because is missing: what is not reproduced has a reason")
        if self.promised == "not measured" and self.measured:
            raise ValueError("promised is `not measured`, so `measured` must be left out")
        if self.promised != "not measured" and not self.measured:
            raise ValueError("measured is missing: where does the number stand?")
        return self


class Promise(Section):
    """The verdict on a line of expected.yaml where it is not `reproduced`."""

    promised: Verdict
    because: str


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict, as `reports/claims.json` holds it."""

    id: str
    pipeline: str
    claim: str
    source: str
    expected: str
    unit: str
    measured: float | tuple[float, ...] | None
    low: float | None
    high: float | None
    beside: float | tuple[float, ...] | None
    verdict: Verdict
    promised: Verdict
    regression: bool
    how: str
    because: str | None
    scale: str | None
    ours: bool
    """A line of expected.yaml, or a claim whose source is this project; else one of its seeds."""


def load_claims(path: Path) -> tuple[dict[str, list[Claim]], dict[str, Promise]]:
    """Claims by pipeline, and promises on lines of expected.yaml by their id.

    Raises ParamsError naming the entry that is wrong, or an id that stands twice.
    """
    try:
        return _load(read_yaml(path))
    except RecursionError:
        raise ParamsError(f"{CLAIMS}: it is nested without end, expected lists of claims; mend it") from None


def _load(content: Mapping[str, Any]) -> tuple[dict[str, list[Claim]], dict[str, Promise]]:
    unknown = sorted(str(name) for name in set(content) - {"claims", "headlines"})
    if unknown:
        raise ParamsError(f"{CLAIMS}: `{unknown[0]}` is no known key (known: claims, headlines); rename it")
    claims, seen = {}, set()
    for pipeline, entries in _mapping(content, "claims").items():
        claims[pipeline] = []
        if not isinstance(entries, list):
            raise ParamsError(f"{CLAIMS}: `claims.{pipeline}` is no list, expected one of claims; mend it")
        for number, entry in enumerate(entries):
            name = entry.get("id", number) if isinstance(entry, Mapping) else number
            claim = validate(Claim, entry, source=CLAIMS, prefix=f"claims.{pipeline}.{name}")
            if claim.id in seen:
                raise ParamsError(f"{CLAIMS}: the id `{claim.id}` stands twice; give each claim its own")
            seen.add(claim.id)
            claims[pipeline].append(claim)
    promises = {
        name: validate(Promise, entry, source=CLAIMS, prefix=f"headlines.{name}")
        for name, entry in _mapping(content, "headlines").items()
    }
    return claims, promises


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What stands under `key`, with names as its keys; nothing counts as empty."""
    found = content.get(key)
    found = {} if found is None else found
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise ParamsError(f"{CLAIMS}: `{key}` is expected to hold names and what belongs to each; mend it")
    return found


def judge_all(root: Path) -> list[Judged]:
    """Every claim of the project at `root` with its verdict, in the files' order."""
    files = Files(root)
    claims, promises = load_claims(root / CLAIMS)
    headlines = load_expectations(root / EXPECTED)
    scales = scales_now(root)
    found = []
    for pipeline in dict.fromkeys([*claims, *headlines]):
        found += [_judged(pipeline, claim, files, scales) for claim in claims.get(pipeline, [])]
        found += _headlines(pipeline, headlines.get(pipeline, []), files, scales, promises)
    count = Counter(row.id for row in found)
    if twice := [name for name, times in count.items() if times > 1]:
        raise ParamsError(
            f"{CLAIMS}: the id `{twice[0]}` is that of a line of {EXPECTED} as well; give the claim its own"
        )
    unknown = sorted(set(promises) - set(count))
    if unknown:
        raise ParamsError(
            f"{CLAIMS}: headlines names {', '.join(unknown)}, which {EXPECTED} does not have; remove it"
        )
    return found


def scales_now(root: Path) -> dict[str, str | None]:
    """The scale at which each pipeline's params.yaml stands; None between scales."""
    return current_scales(root, read_yaml(root / "params.yaml"))


def write(path: Path, judged: list[Judged], scales: Mapping[str, str | None] | None = None) -> None:
    """Write verdicts as JSON, atomically.

    The file holds `claims` (rows), `verdicts` (how many of each) and `scales`, those of `scales_now`: below
    the scale that the paper speaks of, dashes stand for what was not measured (sections/absent.py).
    """
    count = {verdict: sum(row.verdict == verdict for row in judged) for verdict in VERDICTS}
    rows = [asdict(row) for row in judged]
    write_json(path, {"claims": rows, "verdicts": count, "scales": dict(scales or {})})


def verdict_of(value: float | tuple[float, ...] | None, claim: Claim) -> Verdict:
    """The verdict on a measured value."""
    if value is None:
        return "not measured"
    expected = claim.expected
    if isinstance(expected, tuple) or isinstance(value, tuple):
        return "reproduced" if value == expected else "not reproduced"
    if isinstance(expected, str) and _BOUND.fullmatch(expected):
        return "reproduced" if judge(value, expected, {}) else "not reproduced"
    ends = _RANGE.fullmatch(expected) if isinstance(expected, str) else None
    low, high = (float(end) for end in ends.groups()) if ends else (expected, expected)
    low, high = low - claim.tolerance * abs(low), high + claim.tolerance * abs(high)
    if low <= value <= high:
        return "reproduced"
    return "better" if claim.better == ("lower" if value < low else "higher") else "not reproduced"


def _judged(pipeline: str, claim: Claim, files: Files, scales: Mapping[str, str | None]) -> Judged:
    measured = measure(claim.measured, files) if claim.measured else Measured(None)
    beside = measure(claim.beside, files).value if claim.beside else None
    metrics = _METRICS.match(claim.measured or "")
    scale = claim.scale or ("laptop" if metrics else None)
    elsewhere = scale is not None and scales.get(metrics[1] if metrics else pipeline) != scale
    verdict = "not measured" if elsewhere else verdict_of(measured.value, claim)
    return Judged(
        claim.id, pipeline, claim.claim, claim.source, _shown(claim.expected), claim.unit,
        measured.value, measured.low, measured.high, beside, verdict, claim.promised,
        not elsewhere and _RANK[verdict] < _RANK[claim.promised], claim.how, claim.because, scale,
        claim.source.startswith("earthsignals"),
    )  # fmt: skip


def _headlines(
    pipeline: str, lines: list[Expectation], files: Files, scales: Mapping[str, str | None],
    promises: Mapping[str, Promise],
) -> list[Judged]:  # fmt: skip
    """The lines of expected.yaml as claims of our own."""
    found, named = [], ""
    source = f"reports/{pipeline}/metrics.json"
    metrics = files(source) or {}
    for number, line in enumerate(lines):
        name = f"{pipeline}-headline-{number + 1:02d}"
        if not line.name.startswith("…"):
            named = line.name
        promise = promises.get(name, Promise(promised="reproduced", because="it is a headline"))
        measured = measure(f"{source}: {line.metric}", files, EXPECTED)
        met = judge(lookup(metrics, line.metric), line.expected, metrics)
        elsewhere = scales.get(pipeline) != line.scale
        verdict: Verdict = {True: "reproduced", False: "not reproduced", None: "not measured"}[met]
        verdict = "not measured" if elsewhere else verdict
        found.append(Judged(
            name, pipeline, _spelt_out(line.name, named), f"earthsignals, {EXPECTED}", line.expected, "",
            measured.value, measured.low, measured.high, None, verdict, promise.promised,
            not elsewhere and _RANK[verdict] < _RANK[promise.promised],
            f"{line.metric} of {source}, by `dvc repro {pipeline}-evaluate`",
            promise.because if name in promises else None, line.scale, True,
        ))  # fmt: skip
    return found


def _spelt_out(name: str, named: str) -> str:
    """`… below ridge` after `RMSE / bound, 1–5 %` as `RMSE / bound below ridge`."""
    if not name.startswith("…"):
        return name
    rest = name.removeprefix("…").strip()
    head = named.split(",")[0]
    if not rest or not head:
        return rest or head or name
    return f"{head}, {rest}" if rest[0].isdigit() else f"{head} {rest}"


def _shown(expected: Any) -> str:
    if isinstance(expected, tuple):
        return ", ".join(f"{value:g}" for value in expected)
    return expected if isinstance(expected, str) else f"{expected:.10g}"
