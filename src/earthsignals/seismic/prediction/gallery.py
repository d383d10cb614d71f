"""Reconstructions as pictures, evenly chosen from a stream of unknown length."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals import figures as house
from earthsignals.compute.mapping import progress
from earthsignals.seismic.figures.reconstructions import Picture, draw_one
from earthsignals.seismic.prediction.places import written


@dataclass
class EvenSample:
    """At most `count` items of a stream, evenly spaced over all of it, in bounded memory.

    Keeps every k-th item; whenever 2·count have gathered, every second is dropped and k doubles.
    """

    count: int
    kept: list[Any] = field(default_factory=list)
    _every: int = 1
    _seen: int = 0

    def wants(self) -> bool:
        """Would the next item be kept? Call `add` only then, and `skip` otherwise."""
        return self.count > 0 and self._seen % self._every == 0

    def add(self, item: Any) -> None:
        """Keep the next item."""
        self._seen += 1
        self.kept.append(item)
        if len(self.kept) == 2 * self.count:
            self.kept, self._every = self.kept[::2], 2 * self._every

    def skip(self) -> None:
        """Pass over the next item."""
        self._seen += 1

    def chosen(self) -> list[Any]:
        """The sample, in order of the stream."""
        if len(self.kept) <= self.count:
            return list(self.kept)
        return [self.kept[i] for i in np.linspace(0, len(self.kept) - 1, self.count).round().astype(int)]


def write_gallery(out: Path, pictures: list[Picture]) -> list[Path]:
    """Draw each as `out/reconstruction_000.png`, …: input, output, difference of the three components."""
    paths = []
    with progress("gallery", len(pictures), "figures") as bar:
        for number, picture in enumerate(pictures):
            path = out / f"reconstruction_{number:03d}.png"
            with house.style(), written(path) as temporary:
                draw_one(picture).savefig(temporary, format="png", metadata={"Software": None})
            paths.append(path)
            bar.advance()
    return paths
