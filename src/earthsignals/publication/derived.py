"""Numbers that no file holds as they stand: sums, shapes, sizes of networks, prices; by name.

Each function takes the project's files first and then plain numbers or texts; `derive` reads such a call from
text without evaluating it. What needs the rooms' code imports it when it is asked for.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.publication.measurements import Files, Value

HOUR = 3600.0
BYTES_PER_GB = 1e9
DERIVED: dict[str, Callable[..., Any]] = {}


def derive(text: str, files: Files, source: str = "reports/claims.yaml") -> Value | None:
    """The value of a call such as `epoch_hours(91429)`; None where a file that it reads does not exist.

    Raises EarthSignalsError for an unknown function or arguments that are no plain values.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call.func.id
        arguments = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        function = DERIVED[name]
    except (SyntaxError, AttributeError, ValueError, LookupError, TypeError, MemoryError, RecursionError):
        raise EarthSignalsError(
            f"{source}: `derived: {text[:100]}` is not understood, expected one of "
            f"{', '.join(sorted(DERIVED))} with plain values, as `epoch_hours(91429)`"
        ) from None
    try:
        value = function(files, *arguments, **named)
    except EarthSignalsError:
        raise
    except Exception as error:  # whatever a wrong number does to a network's sizes
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise EarthSignalsError(
            f"{source}: `derived: {text}` cannot be called ({reason}); correct the values in brackets, "
            "or write the files anew that it reads (see src/earthsignals/publication/derived.py)"
        ) from None
    if value is not None and not _numbers(value):
        raise EarthSignalsError(
            f"{source}: `derived: {text}` is no finite number (`{value!s:.60}`), expected one; mend it"
        )
    return value


def _numbers(value: Any) -> bool:
    several = value if isinstance(value, tuple) else (value,)
    return bool(several) and all(
        isinstance(each, (int, float)) and not isinstance(each, bool) and math.isfinite(each)
        for each in several
    )


def _derived(function: Callable[..., Any]) -> Callable[..., Any]:
    DERIVED[function.__name__] = function
    return function


@_derived
def total(files: Files, *parts: float) -> float:
    """The sum of what a document lists."""
    return sum(parts)


@_derived
def product(files: Files, *factors: float) -> float:
    """The product of what a document states."""
    found = 1.0
    for factor in factors:
        found *= factor
    return found


@_derived
def quotient(files: Files, above: float, below: float) -> float:
    """One stated number over another."""
    return above / below


@_derived
def high_over_low_snr(files: Files) -> float | None:
    """Mean squared error through 128 numbers, of the highest signal-to-noise ratios over the lowest."""
    metrics = files("reports/seismic/metrics.json") or {}
    groups = metrics.get("groups", {}).get("snr", {}).get("128")
    if not groups:
        return None
    ordered = sorted(groups, key=lambda name: float(name.partition("..")[0]))
    return groups[ordered[-1]]["model"] / groups[ordered[0]]["model"]


@_derived
def epoch_hours(files: Files, records: int) -> float | None:
    """Processor hours of one epoch of the plain seismic autoencoder over that many records.

    Slope and fixed part of `reports/benchmarks/scale.json`, times the number.
    """
    row = _workload(files, "epoch")
    return None if row is None else _seconds(row, records) / HOUR


@_derived
def training_hours(files: Files, scans: int) -> float | None:
    """Processor hours of training the TDLAS network on that many scans, by the workload's epochs."""
    row = _workload(files, "scan_training")
    return None if row is None else _seconds(row, scans) / HOUR


@_derived
def everything_hours(files: Files, scans: int) -> float | None:
    """Processor hours of simulating, storing and training on that many scans."""
    row, training = _workload(files, "scans"), training_hours(files, scans)
    return None if row is None or training is None else _seconds(row, scans) / HOUR + training


@_derived
def training_usd(files: Files, scans: int) -> float | None:
    """Price of `training_hours` at the benchmark's USD an hour, one core at work and the others idle."""
    return _priced(files, training_hours(files, scans))


@_derived
def everything_usd(files: Files, scans: int) -> float | None:
    """Price of `everything_hours`, likewise."""
    return _priced(files, everything_hours(files, scans))


@_derived
def dataset_gb(files: Files, scans: int) -> float | None:
    """Size of a file of that many scans, in 10⁹ bytes."""
    row = _workload(files, "scans")
    return None if row is None else row["disk_bytes_per_item"] * scans / BYTES_PER_GB


@_derived
def snapshot_price(files: Files) -> float:
    """USD per GB and month that snapshots are priced with unless settings say otherwise."""
    from earthsignals.settings import Settings

    return Settings.model_fields["snapshot_usd_per_gb_month"].default


@_derived
def snapshot_usd(files: Files, scans: int) -> float | None:
    """USD a month for a snapshot that holds a file of that many scans."""
    size = dataset_gb(files, scans)
    return None if size is None else size * snapshot_price(files)


@_derived
def triplets_gb(files: Files) -> float | None:
    """Size of the pixels of all triplets of params.yaml: three tiles each, three channels of a byte."""
    params = files("params.yaml")
    if params is None:
        return None
    triplets, pixels = params["clouds"]["triplets"], params["clouds"]["grid"]["tile_px"] ** 2
    count = sum(triplets[part] for part in ("train", "validation", "study"))
    return count * 3 * pixels * 3 / BYTES_PER_GB


@_derived
def stft_shape(files: Files, samples: int) -> tuple[float, ...]:
    """Components, frequencies and frames of a record of that many samples by the default transform."""
    from earthsignals.seismic.params import StftParams
    from earthsignals.seismic.spectrogram.stft import Stft

    stft = Stft(StftParams())
    return 3, stft.bins, stft.frames(samples)


@_derived
def autoencoder_parameters(files: Files) -> int:
    """Learnt numbers of the plain seismic autoencoder."""
    from earthsignals.seismic.networks.seed import SeedAutoencoder

    return _count(SeedAutoencoder())


@_derived
def autoencoder_latent(files: Files, samples: int) -> int:
    """Numbers that the plain autoencoder keeps of a record of that many samples."""
    from earthsignals.seismic.networks.seed import SeedAutoencoder

    return SeedAutoencoder.latent_numbers(stft_shape(files, samples))


@_derived
def course_parameters(files: Files, points: int) -> int:
    """Learnt numbers of the course's network for scans of that many points."""
    from earthsignals.tdlas.model import CourseNet

    return _count(_on_paper(lambda: CourseNet(points, 0.2)))


@_derived
def googlenet_parameters(files: Files) -> int:
    """Learnt numbers of the plume seed's GoogLeNet, its auxiliary heads included."""
    from earthsignals.plume.networks.googlenet import GoogLeNet

    return _count(_on_paper(GoogLeNet))


@_derived
def drift_preset(files: Files, key: str) -> Value:
    """A value of the drift network's preset `seed`, by its dotted key, as validated parameters hold it."""
    value: Any = _drift_params(files)
    for part in key.split("."):
        value = getattr(value, part)
    return tuple(value) if isinstance(value, (list, tuple)) else value


@_derived
def drift_parameters(files: Files) -> int:
    """Learnt numbers of the drift network as the preset `seed` builds it."""
    return _drift_network(files).parameter_count


@_derived
def drift_bias_saving(files: Files) -> float:
    """How many times as much the position bias would take stored per query and key, as the seed does."""
    tables, expanded = 0, 0
    for module in _drift_network(files).modules():
        if hasattr(module, "table") and hasattr(module, "windows"):
            tables += module.table.numel()
            expanded += module.windows.types * module.heads * module.windows.tokens**2
    return expanded / tables


def _drift_params(files: Files) -> Any:
    from earthsignals.params import validate
    from earthsignals.superdarn.networks.seed import seed_params
    from earthsignals.superdarn.params import SuperdarnParams

    section = (files("params.yaml") or {}).get("superdarn")
    return seed_params(validate(SuperdarnParams, section, source="params.yaml", prefix="superdarn"))


def _drift_network(files: Files) -> Any:
    from earthsignals.superdarn.model import GATED, INPUTS
    from earthsignals.superdarn.networks.pangu import Pangu3D

    params = _drift_params(files)
    shape = (params.grid.size, params.grid.size)
    return _on_paper(
        lambda: Pangu3D(INPUTS, 2 + GATED, params.network.levels, shape, params.network, cyclic=False)
    )


def _on_paper(build: Callable[[], Any]) -> Any:
    """A network with sizes and without weights: nothing is drawn, no memory is taken."""
    import torch

    with torch.device("meta"):
        return build()


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _workload(files: Files, key: str) -> dict[str, Any] | None:
    found = files("reports/benchmarks/scale.json")
    return next((row for row in (found or {}).get("rows", []) if row["key"] == key), None)


def _seconds(row: dict[str, Any], items: float) -> float:
    return row["seconds_fixed"] + row["seconds_per_item"] * items


def _priced(files: Files, hours: float | None) -> float | None:
    found = files("reports/benchmarks/scale.json")
    return None if hours is None or found is None else hours * found["price_per_hour_usd"]
