"""The figures of a page: picture, caption, description, files to take away, and lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from earthsignals.pages.pictures import webp_uri
from earthsignals.params import Section, read_yaml, validate
from earthsignals.publication.bundle import read_bundle
from earthsignals.publication.report.prose import CARDS
from earthsignals.storage import EarthSignalsError

CAPTIONS = CARDS / "figures.yaml"
MOST_PIXELS = 1400
QUALITY = 68  # of WebP: lines stay clean, pictures of clouds small
WIDE = 1000  # pixels of a PNG: what is drawn for a page's two columns gets a whole row
# Where `make ui` shows runs; MLflow's pages lead from there to the run's experiment.
RUN_ADDRESS = "http://127.0.0.1:5000/#/runs/{run_id}"
_ORDER = (".png", ".pdf", ".svg", ".csv", ".gif")


@dataclass(frozen=True)
class Shown:
    """A figure as a page shows it; addresses are relative to `reports/`."""

    name: str
    title: str
    caption: str
    alt: str
    uri: str
    width: int
    height: int
    files: tuple[tuple[str, str], ...]
    sidecar: str
    lineage: Mapping[str, Any]

    @property
    def wide(self) -> bool:
        """Does it take a whole row?"""
        return self.width > WIDE


class Caption(Section):
    """The words of a figure."""

    title: Annotated[str, Field(min_length=1)]
    caption: Annotated[str, Field(min_length=1)]
    alt: Annotated[str, Field(min_length=1)]


def read_captions(root: Path) -> dict[str, Any]:
    """`reports/cards/figures.yaml`: pipeline → figure → title, caption, alt; `training` serves all."""
    return read_yaml(Path(root) / CAPTIONS)


def shown_figures(root: Path, bundle: Path, pipeline: str, captions: Mapping[str, Any]) -> list[Shown]:
    """The figures of a pipeline in the order of the captions, trainings last.

    Raises:
        EarthSignalsError: a figure has no caption.
    """
    sidecars, own = read_bundle(root / bundle, pipeline), captions.get(pipeline) or {}
    if not isinstance(own, Mapping):
        raise EarthSignalsError(
            f"{CAPTIONS}: `{pipeline}` holds `{own!s:.60}`, expected figures and their words; mend it"
        )
    order = {name: place for place, name in enumerate(own)}
    names = sorted(sidecars, key=lambda name: (order.get(name, len(order)), name))
    return [
        _shown(root, bundle, pipeline, name, sidecars[name], _caption(name, pipeline, own, captions))
        for name in names
    ]


def _caption(
    name: str, pipeline: str, own: Mapping[str, Any], captions: Mapping[str, Any]
) -> Caption:
    if name in own:
        return validate(Caption, own[name], source=str(CAPTIONS), prefix=f"{pipeline}.{name}")
    beginning, _, rest = name.partition("_")
    if beginning != "training":
        raise EarthSignalsError(
            f"{CAPTIONS}: no entry for the figure `{name}` of {pipeline}, expected its title, caption "
            "and alt; add it"
        )
    shared = validate(Caption, captions.get("training"), source=str(CAPTIONS), prefix="training")
    return shared.model_copy(update={"title": f"{shared.title}: {rest}"}) if rest else shared


def _shown(
    root: Path, bundle: Path, pipeline: str, name: str, sidecar: Mapping[str, Any],
    words: Caption,
) -> Shown:  # fmt: skip
    uri, width, height = webp(root / bundle / pipeline / f"{name}.png")
    known = (file for file in sidecar["files"] if PurePosixPath(file).suffix in _ORDER)
    files = sorted(known, key=lambda file: _ORDER.index(PurePosixPath(file).suffix))
    return Shown(
        name=name, title=words.title, caption=words.caption, alt=words.alt,
        uri=uri, width=width, height=height,
        files=tuple((PurePosixPath(file).suffix[1:].upper(), from_reports(file)) for file in files),
        sidecar=from_reports(f"{bundle.as_posix()}/{pipeline}/{name}.json"), lineage=sidecar,
    )  # fmt: skip


def webp(path: Path, most: int = MOST_PIXELS) -> tuple[str, int, int]:
    """A picture as a data URI of WebP, no side longer than `most`; its width and height in pixels."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError as error:  # damaged pictures are such errors, too
        raise EarthSignalsError(
            f"{path} cannot be read as a picture ({str(error).splitlines()[0][:120]}), expected a whole PNG; "
            "draw it again (`dvc repro paper-figures`)"
        ) from None
    picture.thumbnail((most, most), Image.Resampling.LANCZOS)
    return webp_uri(np.asarray(picture), QUALITY), *picture.size


def from_reports(path: str) -> str:
    """A path relative to the project's root as a page in `reports/` names it."""
    below = PurePosixPath(path)
    return str(below.relative_to("reports")) if below.parts[0] == "reports" else f"../{below}"
