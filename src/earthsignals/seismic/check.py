"""A quick look at everything a run needs: a record, its transform and back, each network, one batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.seismic.networks.bottleneck import Bottleneck
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.pca import Pca
from earthsignals.seismic.records.read import read_record
from earthsignals.seismic.simulation.record import simulate, specs
from earthsignals.seismic.spectrogram.image import Images, Preprocessing, SpectrogramImage
from earthsignals.seismic.store.prepare import detrend
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

BATCH = 8
LEAST_ROUND_TRIP_DB = 60.0


def check(params: SeismicParams, settings: Settings, data: Path | None) -> Iterator[str]:
    """Yield one line per step that went well; raises EarthSignalsError at the first that did not.

    data: a waveform file of the user's own; None simulates a few records.
    """
    started = time.monotonic()
    deterministic(params.train.seed, settings.threads)
    device = choose_device(settings.device)
    told, waveforms = _simulated(params) if data is None else _of_the_user(data, params)
    yield f"record: {told}"
    image = SpectrogramImage(Preprocessing.from_params(params))
    made = image.images(torch.from_numpy(waveforms), keep_z=True)
    yield f"spectrogram: {' x '.join(map(str, made.x.shape[1:]))}, {float(made.x[0].mean()):.2f} on average"
    yield f"there and back: {_round_trip_db(image, made, waveforms):.0f} dB above the difference"

    x = made.x.reshape(made.x.shape).to(device)
    for name, network, count in _networks(params, x):
        loss = _one_batch(network.to(device), x)
        told = f"{name}: {count:,} parameters, one batch of {len(x)} on {device}"
        yield f"{told}: loss {loss:.4f}, gradients finite"
    next_stage = "" if data is None else f", with seismic.source: {data.parent}"
    yield f"all well after {time.monotonic() - started:.0f} s; next: dvc repro seismic-figures{next_stage}"


def _simulated(params: SeismicParams) -> tuple[str, np.ndarray]:
    chosen = [spec for spec in specs(params) if spec.category == "earthquake"][:BATCH]
    records = [simulate(spec, params) for spec in chosen]
    first = chosen[0]
    told = (
        f"{first.event} at {first.network}.{first.station} ({first.kind}), magnitude {first.magnitude:.1f} "
        f"at {first.distance_km:.0f} km (simulated)"
    )
    waveforms = np.stack([record.counts for record in records]).astype(np.float32)
    for waveform in waveforms:
        detrend(waveform, (0, waveform.shape[1]))
    return told, waveforms


def _of_the_user(path: Path, params: SeismicParams) -> tuple[str, np.ndarray]:
    record = read_record(path, params.reading, params.window)
    told = (
        f"{record.network}.{record.station} ({record.kind}) from {record.start}, "
        f"{record.waveform.shape[1]:,} samples at {record.sampling_rate_hz:g} Hz"
    )
    samples = params.window.samples
    piece = np.zeros((3, samples), np.float32)
    kept = record.waveform[:, :samples]
    piece[:, : kept.shape[1]] = kept
    detrend(piece, (max(0, record.valid[0]), min(kept.shape[1], record.valid[1])))
    return told, np.repeat(piece[None], BATCH, 0)


def _round_trip_db(image: SpectrogramImage, made: Images, waveforms: np.ndarray) -> float:
    samples = waveforms.shape[-1]
    back = image.waveforms(made.x, made.level, made.z, samples).numpy()
    lost = float(np.square(back - waveforms).sum()) / max(float(np.square(waveforms).sum()), 1e-300)
    ratio = -10 * np.log10(max(lost, 1e-20))
    if ratio < LEAST_ROUND_TRIP_DB:
        raise EarthSignalsError(
            f"the waveform that comes back from its spectrogram is only {ratio:.0f} dB above its difference "
            f"from the original, expected {LEAST_ROUND_TRIP_DB:g}: choose an STFT "
            "whose windows overlap by half or more"
        )
    return ratio


def _networks(params: SeismicParams, x: Tensor) -> Iterator[tuple[str, nn.Module, int]]:
    sizes = tuple(size for size in params.train.sizes if size < len(x)) or (len(x) - 1,)
    bottleneck = Bottleneck(x.shape[1:], sizes, sizes[-1], params.train.hidden, params.train.dropout)
    scattered = x.cpu() + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    bottleneck.start_from(Pca.fit(scattered.flatten(1), sizes[-1]))
    for name, network in (
        (f"autoencoder of {sizes[-1]} numbers", bottleneck),
        ("denoiser", Denoiser(params.denoiser.channels)), ("plain autoencoder", SeedAutoencoder()),
    ):  # fmt: skip
        yield name, network, sum(p.numel() for p in network.parameters())


def _one_batch(network: nn.Module, x: Tensor) -> float:
    """Forward and backward; raises where loss or gradient is not finite."""
    y = network.train()(x)
    loss = (y - x).square().mean()
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in gradients):
        raise EarthSignalsError(
            f"the loss of one batch is {loss.item():g} or its gradient is not finite: look for extreme "
            "values in the record, or check seismic.scaling"
        )
    return loss.item()
