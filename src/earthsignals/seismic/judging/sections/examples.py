"""Spectrograms to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from earthsignals.seismic.judging import reconstruction
from earthsignals.seismic.judging.sections.scene import Arrays, Scene
from earthsignals.seismic.spectrogram.image import SpectrogramImage

EXAMPLES = 6


@torch.inference_mode()
def examples(scene: Scene, error: np.ndarray) -> Arrays:
    """Spectrograms of earthquakes spread over signal-to-noise ratio, and of the worst reconstructed ones.

    error: (N,) at the largest size.
    """
    sizes, baselines = scene.models.sizes, scene.fitted.baselines
    events = scene.events
    worst = events[np.argsort(-error[events], kind="stable")][: scene.params.evaluate.worst]
    spread = scene.population.spread(EXAMPLES)
    arrays: Arrays = {}
    x, outputs = _reconstructed(scene, spread, sizes)
    arrays |= _titles(scene, "examples", spread)
    arrays |= {"examples/index": spread, "examples/input": x.numpy()}
    arrays |= {f"examples/size_{size}": outputs[size].numpy() for size in sizes}
    arrays |= {
        f"examples/pca_{size}": image.numpy()
        for size, image in baselines.reconstruct_pca(x, sizes).items()
    }
    arrays["examples/mse"] = np.stack([_mse(x, outputs[size]) for size in sizes])
    x, outputs = _reconstructed(scene, worst, [max(sizes)])
    arrays |= _titles(scene, "worst", worst)
    return arrays | {
        "worst/index": worst, "worst/input": x.numpy(), "worst/output": outputs[max(sizes)].numpy(),
        "worst/mse": error[worst],
    }  # fmt: skip


def _reconstructed(
    scene: Scene, positions: np.ndarray, sizes: Sequence[int]
) -> tuple[torch.Tensor, Mapping[int, torch.Tensor]]:
    model = scene.models.bottleneck
    rows, image = scene.population.rows[positions], SpectrogramImage(model.preprocessing)
    waveforms = torch.from_numpy(scene.store.read(rows))
    x = image.images(waveforms).x
    mask = image.frame_mask(torch.from_numpy(scene.store.valid(rows)), waveforms.shape[-1])
    return x, reconstruction.of_autoencoder(model.network, sizes)(x, mask)


def _mse(x: torch.Tensor, output: torch.Tensor) -> np.ndarray:
    return (x - output).square().mean((1, 2, 3)).numpy()


def _titles(scene: Scene, prefix: str, positions: np.ndarray) -> Arrays:
    population = scene.population
    titles = [population.title(int(position)).encode() for position in positions]
    return {f"{prefix}/row": population.rows[positions], f"{prefix}/title": np.array(titles, dtype=bytes)}
