"""How a stage runs: defaults, file, environment, in that order."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.params import ParamsError, read_yaml
from earthsignals.settings import Settings, cpu_count, load_settings

ROOT = Path(__file__).parents[2]


def test_environment_wins_over_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    assert load_settings(path, {}) == Settings()
    assert Settings().workers == cpu_count() >= 1
    path.write_text("workers: 3\nprice_per_hour_usd: 1.99\ncluster: null\n")
    assert load_settings(path, {}).workers == 3
    both = load_settings(path, {"EARTHSIGNALS_WORKERS": "5", "EARTHSIGNALS_DEVICE": "cuda:1"})
    assert (both.workers, both.device, both.price_per_hour_usd) == (5, "cuda:1", 1.99)
    assert load_settings(path, {"EARTHSIGNALS_WORKERS": "null"}).workers == cpu_count()
    assert load_settings(path, {"EARTHSIGNALS_PROGRESS": "false"}).progress is False
    real = load_settings(path, {"EARTHSIGNALS_REAL_DATA": "/somewhere"}).real_data
    assert real == Path("/somewhere")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EARTHSIGNALS_WORKERS", "0", "`workers` is 0, expected a whole number >= 1"),
        ("EARTHSIGNALS_WORKERS", "many", '`workers` is "many"'),
        ("EARTHSIGNALS_WOKERS", "2", "`wokers` is no known key; did you mean `workers`?"),
        ("EARTHSIGNALS_DEVICE", "gpu", '`device` is "gpu"'),
        ("EARTHSIGNALS_PRECISION", "64", "one of `auto`, `32-true`"),
    ],
)
def test_wrong_environment_is_named(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        load_settings(tmp_path / "settings.yaml", {variable: value})
    assert said in str(caught.value) and "EARTHSIGNALS_" in str(caught.value)


def test_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("devcie: cpu\n")
    with pytest.raises(ParamsError, match=r"settings.yaml: `devcie`.*did you mean `device`\?"):
        load_settings(tmp_path / "settings.yaml", {})


def test_example_explains_every_setting_at_its_default() -> None:
    example = ROOT / "settings.example.yaml"
    assert list(read_yaml(example)) == list(Settings.model_fields)
    assert load_settings(example, {}) == Settings()


def test_a_temporary_copy_of_dvc_keeps_to_the_projects_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """settings.yaml is not in git, so `dvc exp run --temp` does not carry it into its copy."""
    copy = tmp_path / ".dvc/tmp/exps/standalone/abc"
    for project in (tmp_path, copy):
        (project / ".dvc").mkdir(parents=True, exist_ok=True)
        (project / "params.yaml").touch()
    (tmp_path / "settings.yaml").write_text("workers: 3\n")
    monkeypatch.chdir(copy)
    assert load_settings(environment={}).workers == 3
