"""What cannot become a scene, and why: one word to count by, one sentence to read."""

from __future__ import annotations

from pathlib import Path

from earthsignals.storage import EarthSignalsError

REASONS = {
    "unreadable": "truncated, damaged or of no known kind",
    "no-place": "nothing tells where on Earth it lies",
    "no-time": "nothing tells its time",
    "times": "more than one time",
    "bands": "neither one nor three bands of brightness",
    "missing-bands": "a scan without a band that the composite needs",
    "scale": "nothing tells what full brightness is",
    "empty": "no known pixel in it",
    "off-disk": "out of the satellite's sight",
    "too-wide": "it reaches too far for one plane",
    "too-small": "smaller than a tile",
    "duplicate": "the same scene as another",
    "night": "a visible product without daylight",
}
"""Why a file is no scene. Sources of their own may have further reasons."""


class RefusedScene(EarthSignalsError):
    """A file that is no scene; the others go on without it."""

    def __init__(self, path: Path | str, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.reason, self.detail = path, reason, detail

    def __reduce__(self) -> tuple:
        return RefusedScene, (self.path, self.reason, self.detail)  # it crosses from worker processes
