"""Small pictures of many records on one sheet: a spectrogram, and the waveform below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from earthsignals.pages.pictures import webp_uri
from earthsignals.seismic.spectrogram.image import SpectrogramImage
from earthsignals.seismic.store.packed import Store

WIDTH, SPECTRUM, WAVE = 64, 34, 14
HEIGHT = SPECTRUM + WAVE
BATCH = 64
QUALITY = 42
PAPER, INK, MARK = np.array([250, 250, 250]), np.array([0, 63, 110]), np.array([213, 94, 0])


@dataclass(frozen=True)
class Sheet:
    """uri: the sheet as a picture. columns, rows: of pictures on it, WIDTH × HEIGHT pixels each."""

    uri: str
    columns: int
    rows: int

    def corner(self, number: int, scale: float) -> tuple[float, float]:
        """Left and top of a picture on the sheet when it is shown `scale` times as large, in pixels."""
        row, column = divmod(number, self.columns)
        return column * WIDTH * scale, row * HEIGHT * scale


def sheet(store: Store, rows: np.ndarray, image: SpectrogramImage, marks: np.ndarray) -> Sheet:
    """The vertical components of records, in their order, row by row.

    marks: (N, 2) samples of P and S, NaN where unknown.
    """
    columns = int(np.ceil(np.sqrt(len(rows) * HEIGHT / WIDTH)))
    down = -(-len(rows) // columns)
    whole = np.full((down * HEIGHT, columns * WIDTH, 3), 255, np.uint8)
    for start in range(0, len(rows), BATCH):
        own = rows[start : start + BATCH]
        waveforms = store.read(own)[:, 2]
        images = image.images_of_rows(store.waveforms, own).x[:, 2].numpy()
        for number, (spectrum, waveform) in enumerate(zip(images, waveforms, strict=True), start):
            row, column = divmod(number, columns)
            place = whole[row * HEIGHT :, column * WIDTH :]
            place[:SPECTRUM, :WIDTH] = spectrogram(spectrum)
            place[SPECTRUM:HEIGHT, :WIDTH] = trace(waveform, marks[number])
    # One stream for all: a picture by itself would carry a header as long as its content.
    return Sheet(webp_uri(whole, QUALITY), columns, down)


def spectrogram(values: np.ndarray) -> np.ndarray:
    """(F, T) in [0, 1] as (SPECTRUM, WIDTH, 3) uint8, low frequencies at the bottom."""
    import matplotlib as mpl

    small = Image.fromarray(np.ascontiguousarray(values[::-1], np.float32)).resize(
        (WIDTH, SPECTRUM), Image.Resampling.BOX
    )
    return mpl.colormaps["cividis"](np.clip(np.asarray(small), 0, 1), bytes=True)[..., :3]


def trace(waveform: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(S,) samples as (WAVE, WIDTH, 3) uint8: least to largest in each column, over the peak."""
    edges = np.linspace(0, len(waveform), WIDTH + 1).astype(int)[:-1]
    peak = max(float(np.abs(waveform).max()), 1e-30)
    low, high = (reduce.reduceat(waveform, edges) / peak for reduce in (np.minimum, np.maximum))
    height = (1 - 2 * (np.arange(WAVE) + 0.5) / WAVE)[:, None]
    half = 1 / WAVE
    inked = (height <= high + half) & (height >= low - half)
    picture = np.where(inked[..., None], INK, PAPER).astype(np.uint8)
    for sample in marks[np.isfinite(marks)]:
        picture[:, min(int(sample / len(waveform) * WIDTH), WIDTH - 1)] = MARK
    return picture
