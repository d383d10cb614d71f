"""A wrong parameter stops a stage with its full path; scales change values and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from earthsignals.params import (
    Change,
    ParamsError,
    Section,
    apply_scale,
    load_section,
    scale_changes,
    scale_names,
)
from earthsignals.storage import EarthSignalsError


class Train(Section):
    learning_rate: float = Field(1e-3, gt=0, le=1)
    epochs: int = Field(10, ge=1, le=1000)
    optimizer: Literal["adamw", "adam"] = "adamw"
    shuffle: bool = True
    path: str | None = None


class Window(Section):
    low: float = Field(4383.0, gt=0)
    high: float = Field(4386.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Pipeline(Section):
    train: Train = Train()
    windows: list[Window] = []
    kernel: tuple[int, ...] = (5, 5)
    share: Annotated[float, Field(ge=0, le=1)] = 0.5


def load(tmp_path: Path, text: str) -> Pipeline:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_section("tdlas", Pipeline, path)


def message(tmp_path: Path, text: str) -> str:
    with pytest.raises(ParamsError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_values_arrive_and_ints_are_good_for_floats(tmp_path: Path) -> None:
    section = load(
        tmp_path,
        "tdlas:\n  train: {learning_rate: 1e-4, epochs: 3}\n  share: 1\n  kernel: [3, 3]\n",
    )
    # YAML 1.2, as DVC reads it: 1e-4 is a number (YAML 1.1 would make it text).
    assert section.train.learning_rate == 1e-4
    assert section.share == 1.0 and isinstance(section.share, float)
    assert section.kernel == (3, 3) and section.train.optimizer == "adamw"
    assert load_section("tdlas.train", Train, tmp_path / "params.yaml") == section.train


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Train().epochs = 3


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # unknown key: where, and what was meant
        ("train: {lerning_rate: 0.1}", ["`tdlas.train.lerning_rate` is no known key",
                                        "did you mean `learning_rate`?", "epochs, optimizer"]),
        ("tarin: {}", ["`tdlas.tarin` is no known key", "did you mean `train`?"]),
        ("windows: [{low: 1, hgih: 2}]", ["`tdlas.windows.0.hgih`", "did you mean `high`?"]),
        # wrong type: nothing is coerced
        ('train: {epochs: "3"}', ['`tdlas.train.epochs` is "3"',
                                  "expected a whole number >= 1 and <= 1000"]),
        ("train: {epochs: 3.0}", ["`tdlas.train.epochs` is 3.0", "a whole number"]),
        ("train: {epochs: true}", ["`tdlas.train.epochs` is true", "a whole number"]),
        ("train: {learning_rate: true}", ["`tdlas.train.learning_rate` is true", "a number"]),
        ("train: {shuffle: 1}", ["`tdlas.train.shuffle` is 1", "true or false"]),
        ("train: {path: 3}", ["`tdlas.train.path` is 3", "text or null"]),
        ("train: 3", ["`tdlas.train` is 3", "a section with the keys learning_rate, epochs"]),
        ("kernel: [3, x]", ["`tdlas.kernel.1` is \"x\"", "a list, each item a whole number"]),
        # impossible value: what was found, what is allowed
        ("train: {learning_rate: 0}", ["`tdlas.train.learning_rate` is 0",
                                       "a number > 0 and <= 1"]),
        ("train: {learning_rate: .nan}", ["`tdlas.train.learning_rate` is NaN", "a number > 0"]),
        ("share: .inf", ["`tdlas.share` is Infinity", "a number >= 0 and <= 1"]),
        ("train: {optimizer: sgd}", ['`tdlas.train.optimizer` is "sgd"',
                                     "one of `adamw`, `adam`"]),
        ("windows: [{low: 3, high: 2}]", ["`tdlas.windows.0`: low (3.0) must be below high (2.0)"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    said = message(tmp_path, f"tdlas:\n  {text}\n")
    assert said.startswith(str(tmp_path / "params.yaml"))
    for part in parts:
        assert part in said
    assert "\n" not in said


def test_all_problems_in_one_go(tmp_path: Path) -> None:
    said = message(tmp_path, "tdlas: {train: {epochs: 0, foo: 1}, share: 2}\n")
    for key in ("tdlas.train.epochs", "tdlas.train.foo", "tdlas.share"):
        assert f"`{key}`" in said


def test_missing_key_says_what_it_would_be(tmp_path: Path) -> None:
    class Needs(Section):
        samples: int = Field(ge=16)

    (tmp_path / "p.yaml").write_text("tdlas: {}\n")
    with pytest.raises(ParamsError, match="`tdlas.samples` is missing, expected a whole number"):
        load_section("tdlas", Needs, tmp_path / "p.yaml")


def test_file_section_and_yaml_errors(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="does not exist"):
        load_section("tdlas", Pipeline, tmp_path / "params.yaml")
    assert "section `tdlas` is missing; did you mean `tldas`?" in message(tmp_path, "tldas: {}\n")
    assert "`tdlas` holds nothing" in message(tmp_path, "tdlas:\n")
    assert "no valid YAML at line 3, column 2" in message(tmp_path, "tdlas:\n  share: 1\n }\n")
    assert "duplicate key" in message(tmp_path, "tdlas: {share: 1, share: 0}\n")
    assert "expected sections" in message(tmp_path, "- 1\n")
    assert issubclass(ParamsError, EarthSignalsError)


PARAMS = """\
# how big
tdlas:
  dataset:
    scans: 20000        # number of scans
    mole_fraction: [1.0, 50000.0]   # ppm
    name: 'quoted'
  train:
    # found by search
    learning_rate: 1.0e-3

    epochs: 40
other: {a: 1}   # untouched
"""
SCALES = """\
smoke:
  tdlas:
    dataset: {scans: 200}
    train: {epochs: 2}
laptop:
  tdlas:
    dataset: {scans: 20000}
    train: {epochs: 40}
broken:
  tdlas: {dataset: {scnas: 1}}
"""


@pytest.fixture
def scaled(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "scales.yaml").write_text(SCALES)
    return tmp_path / "params.yaml", tmp_path / "scales.yaml"


def test_scale_there_and_back_keeps_every_byte_else(scaled: tuple[Path, Path]) -> None:
    changes = apply_scale("smoke", *scaled)
    assert changes == [
        Change("tdlas.dataset.scans", 20000, 200), Change("tdlas.train.epochs", 40, 2)
    ]
    smoke = PARAMS.replace("scans: 20000 ", "scans: 200 ").replace("epochs: 40", "epochs: 2")
    squeeze = str.split  # a comment may move along its line with the width of the value
    assert squeeze(scaled[0].read_text()) == squeeze(smoke)
    apply_scale("laptop", *scaled)
    assert scaled[0].read_text() == PARAMS


def test_scale_already_there_does_not_touch_the_file(scaled: tuple[Path, Path]) -> None:
    before = scaled[0].stat().st_mtime_ns
    assert apply_scale("laptop", *scaled) == []
    assert scaled[0].stat().st_mtime_ns == before
    assert [change.key for change in scale_changes("smoke", *scaled)] == [
        "tdlas.dataset.scans", "tdlas.train.epochs"
    ]
    assert scale_names(scaled[1]) == ["smoke", "laptop", "broken"]


def test_unknown_scale_and_unknown_key_change_nothing(scaled: tuple[Path, Path]) -> None:
    with pytest.raises(ParamsError, match="no scale `smokey`; did you mean `smoke`?"):
        apply_scale("smokey", *scaled)
    with pytest.raises(ParamsError, match=r"`broken.tdlas.dataset.scnas` sets a key .*`scans`\?"):
        apply_scale("broken", *scaled)
    assert scaled[0].read_text() == PARAMS


def test_the_projects_own_scales_fit_its_params() -> None:
    root = Path(__file__).parents[2]
    names = scale_names(root / "scales.yaml")
    assert names == ["smoke", "laptop", "paper"]
    for name in names:
        scale_changes(name, root / "params.yaml", root / "scales.yaml")
