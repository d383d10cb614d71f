"""Which scale params.yaml is at, and what a line of expected.yaml means."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.params import ParamsError
from earthsignals.publication.expectations import (
    current_scale,
    current_scales,
    judge,
    load_expectations,
    lookup,
)

METRICS = {"rmse": {"1e2-1e3": 1.5}, "ridge": {"1e2-1e3": 2.0}, "flag": True, "absent": None}


@pytest.mark.parametrize(
    ("value", "expected", "met"),
    [
        (1.5, "<= 1.5", True), (1.5, "< 1.5", False), (1.5, ">= 1.5", True), (1.5, "> 1.5", False),
        (0.9, "0.9 .. 1.3", True), (1.3, "0.9 .. 1.3", True), (1.31, "0.9 .. 1.3", False),
        (1.5, "< ridge.1e2-1e3", True), (2.5, "< ridge.1e2-1e3", False), (1.5, "< ridge.no", None),
        (None, "< 2", None), (-0.2, "-0.25 .. 0.25", True),
    ],
)  # fmt: skip
def test_a_line_is_met_or_not_or_cannot_be_judged(value, expected, met) -> None:
    assert judge(value, expected, METRICS) is met


def test_what_is_no_number_is_no_value() -> None:
    assert lookup(METRICS, "rmse.1e2-1e3") == 1.5
    for path in ("rmse", "flag", "absent", "rmse.1e2-1e3.x", "no"):
        assert lookup(METRICS, path) is None


def test_a_line_that_says_nothing_is_refused() -> None:
    with pytest.raises(ParamsError, match="`about 2` is not understood"):
        judge(1.0, "about 2", {})


def test_the_scale_is_that_of_each_pipeline(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: {n: 1, m: 5}\nb: {n: 20}\nc: {n: 7}\n")
    (tmp_path / "scales.yaml").write_text(
        "smoke:\n  a: {n: 1}\n  b: {n: 2}\n  c: {n: 1}\nlaptop:\n  a: {n: 10}\n  b: {n: 20}\n  c: {n: 10}\n"
    )
    assert current_scales(tmp_path, ["a", "b", "c"]) == {"a": "smoke", "b": "laptop", "c": None}
    assert current_scale(tmp_path, "b") == "laptop"


def test_a_wrong_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "expected.yaml"
    path.write_text('a:\n  - {name: x, metric: y, expected: "< 1", size: 3}\n')
    with pytest.raises(ParamsError, match=r"reports/expected.yaml: .*a\.0\.size"):
        load_expectations(path)
