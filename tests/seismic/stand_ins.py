"""Small stand-ins for what takes long: a store in memory, and networks that were never trained."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from earthsignals.seismic.baselines import ImageBlocks
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.pca import Pca
from earthsignals.seismic.simulation.record import simulate, specs
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.seismic.store.packed import Store
from earthsignals.seismic.store.prepare import detrend, signal_to_noise_db

SMALL = SeismicParams.model_validate({
    "synthetic": {"networks": 6, "stations_per_network": 2, "records": 72, "noise_records": 36},
    "window": {"after_p_s": 20.0},
    "train": {"sizes": (4, 8, 16)},
    "denoiser": {"minimum_signal_db": 10.0, "channels": 4},
    "seed": {"records": 40},
    "evaluate": {
        "bootstrap": 40, "floor_pairs": 6, "curve_sizes": (4, 16), "noise_snr_db": (-5.0, 5.0),
        "denoise_records": 6, "worst": 3,
    },
})  # fmt: skip


@lru_cache(maxsize=2)
def small_store(noise: bool = True) -> Store:
    """Simulated records of six networks: four to train, one to validate, one to test."""
    window = SMALL.window
    chosen = [spec for spec in specs(SMALL) if noise or spec.category == "earthquake"]
    networks = sorted({spec.network for spec in chosen})
    rows, waveforms = [], []
    for spec in chosen:
        record = simulate(spec, SMALL)
        samples = record.counts.astype(np.float64)
        detrend(samples, (0, window.samples))
        waveforms.append(samples.astype(np.float32))
        event = spec.category == "earthquake"
        nothing = float("nan")
        rows.append({
            "trace_name_original": f"{spec.index}", "trace_channel": spec.kind,
            "trace_category": spec.category, "source_id": spec.event,
            "station_network_code": spec.network, "station_code": spec.station,
            "trace_p_arrival_sample": float(record.p_sample) if event else nothing,
            "trace_s_arrival_sample": float(record.s_sample or nothing) if event else nothing,
            "source_magnitude": spec.magnitude if event else nothing,
            "path_ep_distance_km": spec.distance_km if event else nothing,
            "trace_snr_db": signal_to_noise_db(
                samples, (0, window.samples), record.p_sample, window.sampling_rate_hz
            ) if event else nothing,
            "trace_valid_start": 0, "trace_valid_stop": window.samples,
            "split": {0: "test", 1: "dev"}.get(networks.index(spec.network), "train"),
        })  # fmt: skip
    return Store(
        folder=Path("memory"), waveforms=np.stack(waveforms), metadata=pd.DataFrame(rows),
        skipped=np.empty(0, np.int64), statistics={}, sampling_rate_hz=window.sampling_rate_hz, about={},
    )  # fmt: skip


class LinearBottleneck(nn.Module):
    """Principal components behind the interface of the network with an ordered latent."""

    def __init__(self, pca: Pca, shape: tuple[int, int, int], sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.pca, self.shape, self.sizes = pca, shape, sizes
        self.scale = pca.variances.sqrt().float()
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.pca.encode(x, max(self.sizes))

    def decode(self, z: Tensor, size: int | None = None) -> Tensor:
        return self.pca.decode(z[:, : size or max(self.sizes)]).view(-1, *self.shape)


def stand_in(network: nn.Module, preprocessing: Preprocessing, name: str) -> SimpleNamespace:
    """What evaluation looks at of a `SpectrogramModel`."""
    return SimpleNamespace(
        network=network.eval().requires_grad_(False), preprocessing=preprocessing, reference={}, name=name,
        path=None, md5=f"md5 of {name}",
    )  # fmt: skip


@lru_cache(maxsize=1)
def small_models() -> dict[str, SimpleNamespace]:
    """A linear bottleneck fitted to the small store, and two networks with random weights."""
    preprocessing = Preprocessing.from_params(SMALL)
    store = small_store()
    pca = Pca.fit(ImageBlocks(store, store.rows("train"), preprocessing), max(SMALL.train.sizes))
    torch.manual_seed(0)
    return {
        "bottleneck": stand_in(
            LinearBottleneck(pca, preprocessing.shape, SMALL.train.sizes), preprocessing, "bottleneck"
        ),
        "denoiser": stand_in(Denoiser(4), preprocessing, "denoiser"),
        "seed": stand_in(
            SeedAutoencoder(), Preprocessing.from_params(SMALL, normalisation="component"), "seed"
        ),
    }
