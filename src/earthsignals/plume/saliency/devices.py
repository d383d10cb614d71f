"""Which processors compute a map: GPUs by number as `--gpus` takes them, −1 for the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from earthsignals.compute.device import choose_device
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError

CPU = -1


def inference_devices(numbers: Sequence[int] | None = None) -> list[torch.device]:
    """Devices of GPU numbers, e.g. (0, 1); (−1,) is the CPU; None or none is the setting `device`.

    Raises EarthSignalsError for a GPU that is not there (never the CPU in its place), for a number
    twice, and for −1 beside others.
    """
    if not numbers:
        return [choose_device(load_settings().device)]
    listed = " ".join(map(str, numbers))
    if len(set(numbers)) < len(numbers):
        raise EarthSignalsError(f"--gpus {listed} names a device twice: give each number once")
    if CPU in numbers:
        if len(numbers) > 1:
            raise EarthSignalsError(
                f"--gpus {listed} mixes the CPU (-1) with GPUs, which would wait for it: give the GPUs "
                "alone, or -1 alone"
            )
        return [torch.device("cpu")]
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    absent = [number for number in numbers if not 0 <= number < present]
    if absent:
        seen = f"sees GPU {' '.join(map(str, range(present)))} only" if present else "sees no GPU"
        raise EarthSignalsError(
            f"GPU {', '.join(map(str, absent))} was asked for (--gpus {listed}), but torch "
            f"{torch.__version__} {seen}: give the number of one that is there, or -1 for the CPU"
        )
    return [torch.device("cuda", number) for number in numbers]


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Full float32 and repeatable algorithms on GPUs, as before afterwards.

    cuDNN convolves in TF32 by default, with ten bits of mantissa: logits then differ by 1e-3 between the
    dense form and the sliding window.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
