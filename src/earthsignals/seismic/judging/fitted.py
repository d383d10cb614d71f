"""Everything that is chosen before a held-out record is opened: by the training and validation splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from earthsignals.seismic.baselines import Baselines, fit_baselines
from earthsignals.seismic.denoising.baselines import best_band
from earthsignals.seismic.denoising.judge import DEFAULT_BAND_HZ, pairs
from earthsignals.seismic.denoising.mixing import mix
from earthsignals.seismic.judging.anomalies import fit_reference
from earthsignals.seismic.judging.detection import Probe, Trigger, choose_trigger, fit_probe
from earthsignals.seismic.judging.latents import latents_of
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import Store, evenly
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.seismic.checkpoint import SpectrogramModel

PROBE_RECORDS = 20_000
TRIGGER_RECORDS = 400
BAND_RECORDS = 60
COARSE_SIZES = (2048, 4096, 8192)
"""Codes of the patches' curve between the others and the plain autoencoder's latent."""


@dataclass(frozen=True)
class Models:
    """The networks to judge."""

    bottleneck: SpectrogramModel
    denoiser: SpectrogramModel
    seed: SpectrogramModel

    @property
    def seed_numbers(self) -> int:
        """Size of the plain autoencoder's latent."""
        return int(self.seed.network.latent_numbers(self.seed.preprocessing.shape))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Latent sizes that the ordered latent was trained for, ascending."""
        return tuple(self.bottleneck.network.sizes)


@dataclass(frozen=True)
class Fitted:
    """Linear codes in both scalings, the probe (None without noise records), the trigger, what anomalies are
    measured against, and the denoising band."""

    baselines: Baselines
    seed_baselines: Baselines
    probe: Probe | None
    trigger: Trigger
    reference: Mapping[str, Tensor]
    band_hz: tuple[float, float]


def fit(store: Store, models: Models, params: SeismicParams) -> Fitted:
    """Fit to the training split of the store, choose on its validation split.

    Raises EarthSignalsError where the training split holds fewer than two earthquakes.
    """
    train, dev = store.rows("train"), store.rows("dev")
    events = store.rows("train", category="earthquake")
    if len(events) < 2:
        raise EarthSignalsError(
            f"{store.folder}: the training split has {len(events)} earthquakes, evaluation needs at least "
            "two: pack more records (seismic.synthetic.records, or a larger seismic.source)"
        )
    curve = params.evaluate.curve_sizes
    sizes = sorted({*curve, *models.sizes})
    numbers = models.seed_numbers
    coarse = sorted({*sizes, *(size for size in COARSE_SIZES if size < numbers), numbers})
    probe_rows, dev_rows = evenly(train, PROBE_RECORDS), evenly(dev, PROBE_RECORDS // 3)
    preprocessing, network = models.bottleneck.preprocessing, models.bottleneck.network
    latents = latents_of(network, preprocessing, store, probe_rows)
    label = _labels(store, probe_rows)
    probe = None
    if len(dev_rows):
        held_back = latents_of(network, preprocessing, store, dev_rows)
        probe = fit_probe(latents, label, held_back, _labels(store, dev_rows))
    reference = models.bottleneck.reference or fit_reference(latents[label])
    return Fitted(
        fit_baselines(store, train, preprocessing, sizes, held_back=dev, patch_sizes=coarse),
        fit_baselines(
            store, evenly(events, params.seed.records), models.seed.preprocessing, sizes, held_back=dev,
            patch_sizes=coarse,
        ),
        probe, _trigger(store, train), reference, _band(store, params),
    )  # fmt: skip


def _labels(store: Store, rows: np.ndarray) -> np.ndarray:
    """Is it an earthquake: (N,) bool."""
    return (store.metadata["trace_category"].to_numpy()[rows] == "earthquake").astype(bool)


def _trigger(store: Store, train: np.ndarray) -> Trigger:
    """The best on as many earthquakes as noise records; the usual one without noise."""
    label = _labels(store, train)
    events, noise = evenly(train[label], TRIGGER_RECORDS // 2), evenly(train[~label], TRIGGER_RECORDS // 2)
    if not len(noise):
        return Trigger()
    rows = np.concatenate([events, noise])
    return choose_trigger(
        store.read(rows), store.valid(rows), np.arange(len(rows)) < len(events), store.sampling_rate_hz
    )


def _band(store: Store, params: SeismicParams) -> tuple[float, float]:
    """The fixed band-pass that denoises mixtures of 0 dB best on the validation split."""
    table, p_sample = store.metadata, params.window.p_sample
    events, noise = store.rows("dev", category="earthquake"), store.rows("dev", category="noise")
    strong = table["trace_snr_db"].to_numpy(np.float64)[events] >= params.denoiser.minimum_signal_db
    events = evenly(events[strong], BAND_RECORDS)
    if not len(events) or not len(noise):
        return DEFAULT_BAND_HZ
    kinds = table["trace_channel"].to_numpy(dtype=np.str_)
    partner = noise[pairs(kinds[events], kinds[noise], params.evaluate.seed)]
    clean = store.read(events)
    noisy, _ = mix(clean, store.read(partner), 0.0, p_sample)
    return best_band(clean, noisy, p_sample, store.sampling_rate_hz)
