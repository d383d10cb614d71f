"""A training's configuration as a mapping: our keys, and the names that older practice has for them.

Ours are those of params.yaml's section, nested (`{"network": {"embed_dim": 64}}`) or with dots
(`"network.embed_dim"`). What only says how to run (`precision`, `num_workers`, …) becomes execution settings.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from earthsignals.credentials import refuse_keys
from earthsignals.params import ParamsError, validate
from earthsignals.superdarn.networks.seed import seed_params
from earthsignals.superdarn.params import SuperdarnParams

SOURCE = "the configuration"
# Older names of parameters, by their keys here.
NAMES = {
    "embed_dim": "network.embed_dim", "num_heads": "network.num_heads", "depths": "network.depths",
    "window_size": "network.window_size", "patch_size": "network.patch_size",
    "mlp_ratio": "network.mlp_ratio", "drop_path": "network.drop_path", "levels": "network.levels",
    "gradient_checkpointing": "network.gradient_checkpointing", "learning_rate": "train.learning_rate",
    "batch_size": "train.batch_size", "max_epochs": "train.epochs", "epochs": "train.epochs",
    "gradient_clip_val": "train.gradient_clip", "time_step": "train.time_step",
    "noise_factor": "train.noise_factor", "logger": "train.logger", "seed": "train.seed",
    "grid_size": "grid.size", "windowMinutes": "state.history_minutes", "data_dir": "source",
}  # fmt: skip
# Those that say how to run, by the setting.
SETTINGS = {
    "num_workers": "loader_workers", "loader_workers": "loader_workers", "pin_memory": "pin_memory",
    "prefetch_factor": "prefetch_factor", "precision": "precision", "threads": "threads",
}  # fmt: skip
SPECIAL = ("preset", "method", "bucket_name", "MINIOHost", "MINIOPort", "fast_dev_run")
METHODS = {"flat": "flat", "grid": "square"}
PRECISIONS = {
    "16": "16-mixed", "32": "32-true", "bf16": "bf16-mixed", "16-mixed": "16-mixed", "32-true": "32-true",
    "bf16-mixed": "bf16-mixed", "auto": "auto",
}  # fmt: skip
# Every part once, on as little as there can be: three days, one epoch, a time of issue each four hours.
QUICK = {
    "simulation.days": 3, "train.epochs": 1, "train.patience": 0, "train.stride": 120, "state.stride": 120,
}  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """What a mapping says: all parameters, and the settings that it names."""

    params: SuperdarnParams
    settings: dict[str, Any] = field(default_factory=dict)
    fast_dev_run: bool = False


def understood(config: Mapping[str, Any], base: SuperdarnParams) -> Configuration:
    """`config` on top of `base`; what it does not name stays.

    Where it names steps of the rollout and no leads, leads that these do not reach are left out.

    Raises EarthSignalsError, in one sentence: an unknown key (with the nearest), a value out of its bounds,
    and keys of an object store, which are never taken from a configuration.
    """
    refuse_keys(config, source=SOURCE)
    given = dict(_leaves(config))
    known = _known(SuperdarnParams)
    _refuse_unknown(given, known)
    if (preset := given.pop("preset", None)) is not None:
        if preset != "seed":
            raise ParamsError(f"{SOURCE}: there is no preset `{preset}`; there is `seed`")
        base = seed_params(base)
    quick = given.pop("fast_dev_run", False)
    if not isinstance(quick, bool):
        raise ParamsError(f"{SOURCE}: `fast_dev_run` is `{quick}`, expected true or false")
    changes = dict(QUICK) if quick else {}
    changes |= _storage(given) | _method(given)
    settings = {SETTINGS[key]: value for key, value in given.items() if key in SETTINGS}
    if "precision" in settings:
        settings["precision"] = _precision(settings["precision"])
    for key, value in given.items():
        if key not in SETTINGS:
            changes[NAMES.get(key, key)] = value
    params = _changed(base, changes)
    return Configuration(params, settings, quick)


def differences(base: SuperdarnParams, params: SuperdarnParams) -> dict[str, Any]:
    """Values of `params` that `base` does not have, by dotted key."""
    before, after = (dict(_leaves(p.model_dump(mode="json"))) for p in (base, params))
    return {key: value for key, value in after.items() if before[key] != value}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as sections."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        inner = found
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return found


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        dotted = f"{prefix}{key}".removeprefix("superdarn.")
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{dotted}." if dotted != "superdarn" else "")
        else:
            yield dotted, list(value) if isinstance(value, tuple) else value


def _known(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, about in model.model_fields.items():
        inner = about.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _known(inner, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


def _refuse_unknown(given: Mapping[str, Any], known: list[str]) -> None:
    short = [*NAMES, *SETTINGS, *SPECIAL]
    for key in given:
        if key in known or key in short:
            continue
        lower = {name.lower(): name for name in [*short, *known]}
        near = difflib.get_close_matches(key.lower(), lower, n=1)
        hint = f"; did you mean `{lower[near[0]]}`?" if near else f" (known: {', '.join(short)}, …)"
        raise ParamsError(f"{SOURCE}: `{key}` is no known key{hint}")


def _storage(given: dict[str, Any]) -> dict[str, Any]:
    """Where records lie in an object store, from a bucket's name, a host and a port."""
    bucket, host, port = (given.pop(key, None) for key in ("bucket_name", "MINIOHost", "MINIOPort"))
    if bucket is None and host is None and port is None:
        return {}
    if "data_dir" in given or "source" in given:
        raise ParamsError(
            f"{SOURCE}: names a bucket and a folder, expected one source of records; leave bucket_name, "
            "MINIOHost and MINIOPort out, or data_dir"
        )
    changes: dict[str, Any] = {"source": "s3"}
    if bucket is not None:
        changes["s3.bucket"] = bucket
    if host is not None:
        address = host if "://" in str(host) else f"http://{host}"
        changes["s3.endpoint_url"] = address if port is None else f"{address.rstrip('/')}:{port}"
    elif port is not None:
        raise ParamsError(f"{SOURCE}: `MINIOPort` needs a `MINIOHost` beside it")
    return changes


def _method(given: dict[str, Any]) -> dict[str, Any]:
    method = given.pop("method", None)
    if method is None:
        # A size is the square's, and means nothing to the others.
        return {"grid.representation": "square"} if "grid_size" in given else {}
    if method not in METHODS:
        raise ParamsError(f"{SOURCE}: `method` is `{method}`, expected one of `flat`, `grid`")
    return {"grid.representation": METHODS[method]}


def _precision(value: Any) -> str:
    if (chosen := PRECISIONS.get(str(value))) is None:
        raise ParamsError(f"{SOURCE}: `precision` is `{value}`, expected 16, 32, bf16 or auto")
    return chosen


def _changed(base: SuperdarnParams, changes: Mapping[str, Any]) -> SuperdarnParams:
    values = dict(_leaves(base.model_dump(mode="json"))) | dict(changes)
    if "evaluate.leads_minutes" not in changes:
        numbers = [values[key] for key in ("train.time_step", "network.levels", "grid.cadence_minutes")]
        if all(isinstance(number, int) for number in numbers):
            reach = numbers[0] * numbers[1] * numbers[2]
            within = [lead for lead in values["evaluate.leads_minutes"] if lead <= reach]
            values["evaluate.leads_minutes"] = within or [reach]
    return validate(SuperdarnParams, nested(values), source=SOURCE, prefix="superdarn")
