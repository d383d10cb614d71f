"""What views of the plume pipeline are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from earthsignals.plume.figures.inputs import Arrays
from earthsignals.plume.imagery.index import SceneIndex


@dataclass(frozen=True)
class Inputs:
    """arrays: `evaluation.h5`. index: the scenes with their true plumes. found: `saliency/plumes.json`."""

    arrays: Arrays
    index: SceneIndex
    found: Mapping[str, Any] = field(default_factory=dict)

    def plumes_found(self, stem: str) -> Sequence[Mapping[str, Any]]:
        """Rows of the plumes that were found on a flightline."""
        scenes = (scene for scene in self.found.get("scenes", ()) if scene["stem"] == stem)
        return next((scene["plumes"] for scene in scenes), ())

    def plumes_true(self, stem: str) -> Sequence[Mapping[str, Any]]:
        """The plumes that are known to be on a flightline, with row and col of their sources."""
        return next((scene.plumes for scene in self.index.scenes if scene.stem == stem), ())

    def confusers(self, stem: str) -> Sequence[Mapping[str, Any]]:
        """What looks like methane on a flightline and is none: kind, row and col."""
        return next((scene.confusers for scene in self.index.scenes if scene.stem == stem), ())
