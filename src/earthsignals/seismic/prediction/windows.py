"""Records of any length as windows that a network takes, and windows joined into a record again.

Neighbouring windows of an overlap-add lie half a window apart. Where they overlap, their results are
cross-faded with the weights

    w(i) = sin²(π (i + ½) / W),      i = 0 … W − 1,

divided at each sample by the sum of the weights of all windows there. Weights sum to one everywhere, so a
network that changes nothing changes nothing at the seams either, and what a window does near its edges,
where the network sees only half of the context, hardly counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from earthsignals.seismic.records.record import Record
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.spectrogram.stft import Stft
from earthsignals.seismic.store.prepare import band_pass, cut_window, detrend


@dataclass(frozen=True)
class Layout:
    """Where the windows of a record lie: `starts` (K,) int64 ascending, each of `width` samples."""

    starts: np.ndarray
    width: int
    length: int
    """Samples of the record; the last window may reach beyond it."""

    @classmethod
    def of(cls, length: int, preprocessing: Preprocessing, *, overlap: bool) -> Layout:
        """Windows that cover `length` samples, each as long as the network's window.

        overlap: half a window apart, for overlap-add; otherwise side by side. In both the last window ends
        with the record, unless the record is shorter than a window. A record that is longer by no more than
        the transform's last frame can take (7001 samples instead of 7000) is one window, whole.
        """
        width = preprocessing.window.samples
        if length <= width + _slack(preprocessing):
            return cls(np.zeros(1, np.int64), max(width, length), length)
        step = width // 2 if overlap else width
        starts = np.arange(0, length - width, step, dtype=np.int64)
        return cls(np.append(starts, length - width), width, length)

    def weights(self) -> np.ndarray:
        """(length,) float64: the sum of the fades of all windows, by which each is divided."""
        total = np.zeros(self.length)
        fade = fade_of(self.width)
        for start in self.starts:
            piece = total[start : start + self.width]
            piece += fade[: len(piece)]
        return total


def _slack(preprocessing: Preprocessing) -> int:
    """Samples by which a window may grow without another frame of the transform."""
    stft = Stft(preprocessing.stft)
    return (stft.frames(preprocessing.window.samples) - 1) * stft.hop - preprocessing.window.samples


def fade_of(width: int) -> np.ndarray:
    """w (width,) float64 of the module's formula; greater than zero throughout."""
    return np.sin(np.pi * (np.arange(width) + 0.5) / width) ** 2


@dataclass(frozen=True)
class Piece:
    """One window of one record, ready for a network."""

    owner: Any
    """What it was cut for; carried along untouched."""
    start: int
    """Its first sample in the record."""
    waveform: np.ndarray
    """(3, W) float32, E, N, Z: detrended, filtered as the model wants it, zero where nothing was measured."""
    valid: tuple[int, int]
    """Measured samples [first, past) of the window; (0, 0) where there are none."""


def cut(record: Record, owner: Any, layout: Layout, preprocessing: Preprocessing) -> Iterator[Piece]:
    """The windows of a record that is sampled at the model's rate, in order of time."""
    for start in layout.starts.tolist():
        window, valid = cut_window(record.waveform, record.valid, start, layout.width)
        if valid[1] > valid[0]:
            detrend(window, valid)
            if preprocessing.filter is not None and valid[1] - valid[0] > 1:
                band_pass(window, valid, preprocessing.filter, record.sampling_rate_hz)
        yield Piece(owner, start, window.astype(np.float32), valid)


def in_batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Up to `size` pieces at a time, in order, across records; each batch of one width."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and (len(batch) == size or piece.waveform.shape != batch[0].waveform.shape):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


class OverlapAdd:
    """Grows one record (3, length) float32 from the results of its windows, in any order."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.waveform = np.zeros((3, layout.length), np.float32)
        self.missing = len(layout.starts)
        self._fade, self._weights = fade_of(layout.width), layout.weights()

    def add(self, start: int, window: np.ndarray) -> bool:
        """Add a window (3, W) that starts at sample `start`; true once all of them are in."""
        part = self.waveform[:, start : start + self.layout.width]
        samples = part.shape[1]
        part += window[:, :samples] * (self._fade[:samples] / self._weights[start : start + samples])
        self.missing -= 1
        return self.missing == 0
