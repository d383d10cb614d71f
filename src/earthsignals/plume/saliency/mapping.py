"""Blocks of a scene to probabilities, on one device or shared by several.

Each block is read, mapped and handed on by itself, so neither the number of devices nor the order in
which they finish changes a value.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager

import numpy as np
import torch

from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.saliency.devices import exact_arithmetic
from earthsignals.plume.saliency.modes import Logits, block_logits, halo_of
from earthsignals.plume.saliency.strips import Block, Scene, read_padded
from earthsignals.storage import EarthSignalsError

Sink = Callable[[int, np.ndarray], None]


def map_blocks(
    open_scene: Callable[[], AbstractContextManager[Scene]],
    model: SaliencyModel,
    mode: str,
    batch: int,
    blocks: Sequence[Block],
    numbers: Sequence[int],
    devices: Sequence[torch.device],
    sink: Sink,
) -> None:
    """Map blocks[n] for each n of `numbers` and call `sink(n, probabilities)`, float32 (h, w).

    Invalid pixels are NaN. With several devices, each has a thread, a scene of its own and a copy of the
    network, and takes the next block when it is done with one; `sink` is called by one at a time. The
    first error stops all of them and is raised.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    stop, turn = threading.Event(), threading.Lock()

    def work(device: torch.device) -> None:
        logits, halo = block_logits(model, mode, batch, device), halo_of(model, mode)
        with open_scene() as scene:
            while not stop.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                padded, valid = read_padded(scene, blocks[number], halo, model.preprocessing)
                found = np.full(valid.shape, np.nan, np.float32)
                if valid.any():  # the corners of a rotated flightline hold nothing
                    found[valid] = model.probability(_guarded(logits, padded, device)[valid])
                with turn:
                    sink(number, found)

    with exact_arithmetic():
        if len(devices) == 1:
            work(devices[0])
            return
        with ThreadPoolExecutor(len(devices)) as pool:  # waits for all of them in any case
            try:
                for future in as_completed([pool.submit(work, device) for device in devices]):
                    future.result()
            finally:
                stop.set()


def _guarded(logits: Logits, padded: np.ndarray, device: torch.device) -> np.ndarray:
    try:
        return logits(padded)
    except torch.cuda.OutOfMemoryError:
        raise EarthSignalsError(
            f"{device} ran out of memory on a block of {padded.shape[0]} x {padded.shape[1]} pixels: end "
            "what else runs on it, choose a smaller --batch (sliding), or another device with --gpus"
        ) from None
