"""Which processor trains, whether it computes rightly, and how to make it repeat itself.

torch is imported inside the functions: what needs no device does not pay for it.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: auto, cpu, mps, cuda, rocm, or one of several (`cuda:1`).

    `auto` takes CUDA or ROCm where there is one, then Apple's MPS, then the CPU. A device that was
    asked for by name and is not there raises EarthSignalsError: nobody pays a droplet's price for
    a silent CPU.
    """
    import torch

    kind, _, number = name.partition(":")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    if kind in ("cuda", "rocm") and _has_build(kind) and torch.cuda.is_available():
        index = int(number) if number else 0
        if index < torch.cuda.device_count():
            return torch.device("cuda", index)
    raise EarthSignalsError(
        f"the device `{name}` was asked for (setting `device`, EARTHSIGNALS_DEVICE), but torch "
        f"{torch.__version__} sees {_seen()}; install the torch build for it (docs/install.md) or "
        "use `auto`"
    )


def describe_device(device: torch.device) -> dict[str, Any]:
    """`name`, `backend` (cuda, rocm, mps, cpu), `memory_gb` and `torch` of a device."""
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, memory = properties.name, properties.total_memory
        backend = "rocm" if torch.version.hip else "cuda"
    else:
        import psutil

        name, memory, backend = cpu_name(), psutil.virtual_memory().total, device.type
    return {
        "name": name,
        "backend": backend,
        "memory_gb": round(memory / 2**30, 1),
        "torch": torch.__version__,
    }


def check_device(device: torch.device) -> dict[str, Any]:
    """One forward and backward pass of a small convolutional net, compared with the CPU.

    Returns `ok`, `seconds` (on the device) and `max_abs_difference` (over output and gradients,
    relative to the largest CPU value). `ok` allows 1e-2: reduced-precision convolution (TF32) is
    healthy, a broken driver is off by far more.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(4, 1, 256, generator=generator)
    kernel = torch.randn(8, 1, 5, generator=generator)
    weights = torch.randn(8 * 252, 1, generator=generator) / 45.0

    def pass_through(where: torch.device) -> list[torch.Tensor]:
        first = kernel.to(where).requires_grad_()
        second = weights.to(where).requires_grad_()
        hidden = torch.relu(torch.nn.functional.conv1d(signal.to(where), first))
        output = hidden.flatten(1) @ second
        output.square().mean().backward()
        return [tensor.detach().cpu() for tensor in (output, first.grad, second.grad)]

    reference = pass_through(torch.device("cpu"))
    started = time.perf_counter()
    results = pass_through(device)
    seconds = time.perf_counter() - started
    difference = max(
        float((result - expected).abs().max() / expected.abs().max())
        for result, expected in zip(results, reference, strict=True)
    )
    return {"ok": difference < 1e-2, "seconds": seconds, "max_abs_difference": difference}


def deterministic(seed: int, threads: int) -> None:
    """Make torch repeat itself: seeds, deterministic algorithms, a fixed number of CPU threads.

    The number of threads decides the order of sums on a CPU, so it is a stated number and not the
    machine's. numpy's and Python's global generators are seeded only for the sake of libraries.
    """
    # cuBLAS needs this before its first call to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads)


def cpu_name() -> str:
    """The processor's model name, as the system tells it."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _has_build(kind: str) -> bool:
    """`cuda` is what torch calls both; `rocm` asks for AMD's build in particular."""
    import torch

    return kind == "cuda" or torch.version.hip is not None


def _seen() -> str:
    import torch

    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join([*found, "cpu"]) if found else "only the cpu"
