"""What the notebooks need and no pipeline offers: a lesson's folder, its small parameters, its look.

    from earthsignals import classroom

    lesson = classroom.open_lesson("tdlas")
    scans = lesson.made("dataset.h5", lambda path: generate(lesson.lines, lesson.params, path, ...))

A lesson reads `params.yaml` and `scales.yaml`, at whatever scale the project stands, and computes with the
smoke scale. All it makes lies in `notebooks/work/` (git-ignored): neither the project's data and reports nor
its MLflow store are touched.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.params import ParamsError, Section, read_yaml, validate
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError, atomic_path, find_project_root

if TYPE_CHECKING:
    from earthsignals.tracking import Run

FOLDER = Path("notebooks/work")
"""Where lessons keep their files, seen from the project's root."""


@dataclass(frozen=True)
class Lesson:
    """One pipeline's small world: parameters, settings of this machine, and a folder of its own."""

    pipeline: str
    root: Path
    folder: Path
    params: Any
    settings: Settings

    def path(self, name: str) -> Path:
        """The file or folder `name` of this lesson, whether it is there or not."""
        return self.folder / name

    def made(self, name: str, make: Callable[[Path], Any]) -> Path:
        """The lesson's file (or folder) `name`, made by `make(path)` where an earlier lesson did not.

        It is made anew when the lesson's parameters have changed since.
        """
        return made(self.path(name), make, key=fingerprint(self.params))

    @contextmanager
    def run(self, verb: str, *, kind: str = "training") -> Iterator[Run]:
        """An MLflow run in the lessons' own store, `notebooks/work/mlflow.db`; else as `tracking.run`."""
        from earthsignals import tracking

        with (
            _without("MLFLOW_TRACKING_URI"),
            tracking.run(
                self.pipeline, verb, self.params.model_dump(mode="json"), self.settings,
                kind=kind, root=self.folder.parent,
            ) as run,
        ):  # fmt: skip
            yield run


def open_lesson(pipeline: str, *, scale: str = "smoke", changes: Mapping[str, Any] | None = None) -> Lesson:
    """Begin a lesson of one pipeline, in a notebook: its parameters, its folder, the house's look.

    Args:
        pipeline: `tdlas`, `plume`, `seismic`, `clouds` or `superdarn`.
        scale: whose values to compute with.
        changes: values of the section that differ, nested as in `params.yaml`.

    Raises:
        EarthSignalsError: the working folder is in no project.
        ParamsError: unknown pipeline, scale or key.
    """
    root = find_project_root()
    folder = root / FOLDER / pipeline
    params = lesson_params(pipeline, scale=scale, changes=changes, root=root)
    folder.mkdir(parents=True, exist_ok=True)
    quiet()
    house_style()
    return Lesson(pipeline, root, folder, params, load_settings())


def lesson_params(
    pipeline: str, *, scale: str = "smoke", changes: Mapping[str, Any] | None = None, root: Path | None = None
) -> Any:
    """The validated section of a pipeline at a scale; nothing is written.

    Raises ParamsError for an unknown pipeline, scale or key, or for an impossible value.
    """
    root = find_project_root() if root is None else root
    values = read_yaml(root / "params.yaml")
    scales = read_yaml(root / "scales.yaml")
    if pipeline not in values:
        raise ParamsError(f"there is no pipeline `{pipeline}`, expected one of {', '.join(values)}; name one")
    if scale not in scales:
        raise ParamsError(f"there is no scale `{scale}`, expected one of {', '.join(scales)}; name one")
    section = _merged(values[pipeline], scales[scale].get(pipeline, {}))
    section = _merged(section, changes or {})
    return validate(_model(pipeline), section, source=f"the lesson at scale {scale}", prefix=pipeline)


def made(path: str | Path, make: Callable[[Path], Any], *, key: str = "") -> Path:
    """`path`, made by `make(path)` unless it is there already, made with the same `key`.

    So notebooks run alone, in sequence and again. `make` must leave a file or folder at `path`, where
    nothing stands when it begins: a file or folder without the key is removed first.

    Raises:
        EarthSignalsError: `make` left nothing.
    """
    path = Path(path)
    stamp = path.with_name(f".{path.name}.key")
    if path.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return path
    # What an interrupted `make` left must not pass for whole, nor stand in the way.
    stamp.unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    if not path.exists():
        raise EarthSignalsError(f"{path} was not made, expected a file or folder; let `make` write it there")
    with atomic_path(stamp) as temporary, open(temporary, "wb") as file:
        file.write(key.encode())
    return path


def fingerprint(params: Section) -> str:
    """Hash of validated parameters: equal values, equal text."""
    text = json.dumps(params.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def quiet() -> None:
    """No progress bars from here on: what is drawn for a terminal is noise below a cell."""
    os.environ["EARTHSIGNALS_PROGRESS"] = "false"
    # Other packages' bars would be widgets, and they say so when widgets are not installed.
    warnings.filterwarnings("ignore", message="IProgress not found")


def house_style() -> None:
    """Draw in the house style from here on: below the cell in a notebook, unseen elsewhere."""
    import matplotlib as mpl

    from earthsignals import figures

    shell = _notebook()
    backend = None if shell else mpl.get_backend()
    with figures.style():
        house = {name: value for name, value in mpl.rcParams.items() if not name.startswith("backend")}
    if shell:
        shell.run_line_magic("matplotlib", "inline")
    else:
        mpl.use(backend)
    mpl.rcParams.update(house)


def _notebook() -> Any:
    """The running notebook kernel, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None


def _model(pipeline: str) -> type[Section]:
    """The parameters' class of a pipeline, by the name that all rooms give it."""
    module = importlib.import_module(f"earthsignals.{pipeline}.params")
    return getattr(module, f"{pipeline.capitalize()}Params")


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `changes` in their place, at any depth."""
    merged = copy.deepcopy(dict(values))
    for key, value in changes.items():
        deeper = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if deeper else copy.deepcopy(value)
    return merged


@contextmanager
def _without(name: str) -> Iterator[None]:
    """The environment without one variable, inside the block."""
    kept = os.environ.pop(name, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[name] = kept
