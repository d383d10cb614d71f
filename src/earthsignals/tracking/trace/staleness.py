"""Is an entry of dvc.lock still what dvc.yaml, params.yaml and the sources ask for?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from earthsignals.dvcfiles import declared, declared_outs, read_stages
from earthsignals.params import read_yaml
from earthsignals.tracking.trace.disk import Disk
from earthsignals.tracking.trace.lock import Lock, LockedStage, inside

_ABSENT = object()


class Asked:
    """What the working tree asks for: `dvc.yaml` and the files of parameters, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, Any] = {}

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The bodies of dvc.yaml's stages by name."""
        return read_stages(self.root)

    def outs(self, stage: str) -> list[str]:
        """Declared outs of a stage, metrics and plots included."""
        return list(declared_outs(self.stages[stage]))

    def parameter(self, key: str) -> Any:
        """The value of a dotted key (`<file>:<key>` in another file than params.yaml), or `_ABSENT`."""
        file, _, dotted = key.rpartition(":")
        name = file or "params.yaml"
        if name not in self._files:
            path = self.root / name
            self._files[name] = read_yaml(path) if path.is_file() else {}
        value = self._files[name]
        for part in dotted.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return _ABSENT
            value = value[part]
        return value

    def never_ran(self, path: str, lock: Lock) -> str | None:
        """The stage of dvc.yaml that makes `path` but has no entry in `lock`, or None."""
        for name in self.stages:
            if name not in lock.stages and any(inside(path, out) for out in self.outs(name)):
                return name
        return None


def reasons(stage: LockedStage, lock: Lock, asked: Asked, disk: Disk) -> list[str]:
    """Why `dvc repro` would run `stage` again, one phrase each; empty when it would not.

    Stages that DVC writes out of a template (`foreach`, `matrix`, `${…}`) are judged by their
    parameters and files alone. A dep that is not on this disk (not pulled) is no reason.
    """
    if stage.command == "dvc add":
        return []
    body = asked.stages.get(stage.name.partition("@")[0])
    if not isinstance(body, dict):
        return ["dvc.yaml has no such stage any more"]
    found = _files(stage, lock, disk)
    for key, value in stage.params.items():
        found += _changed(key, value, asked.parameter(key))
    if stage.name in asked.stages and "${" not in str(body):
        found += _declaration(stage, body, asked)
    return found


def _declaration(stage: LockedStage, body: Mapping[str, Any], asked: Asked) -> list[str]:
    found = []
    if str(body.get("cmd")) != stage.command:
        found.append(f"dvc.yaml now runs `{body.get('cmd')}`")
    deps, outs = list(declared(body.get("deps"))), asked.outs(stage.name)
    for what, then, now in (("dep", stage.deps, deps), ("out", stage.outs, outs)):
        for path in sorted(set(now) - set(then)):
            found.append(f"dvc.yaml now names the {what} {path}")
        for path in sorted(set(then) - set(now)):
            found.append(f"dvc.yaml no longer names the {what} {path}")
    keys = {key for entry in body.get("params") or () for key in _keys(entry)}
    found += [f"dvc.yaml now names the parameter {key}" for key in sorted(keys - set(stage.params))]
    return found


def _files(stage: LockedStage, lock: Lock, disk: Disk) -> list[str]:
    made = {out: md5 for other in lock.stages.values() for out, md5 in other.outs.items()}
    found = []
    for path, md5 in stage.deps.items():
        if made.get(path, md5) != md5:
            found.append(f"{path} has been made anew since")
        elif disk.state(path, md5, stage.sizes.get(path, 0)) == "other":
            found.append(f"{path} has changed since")
    return found


def _keys(entry: Any) -> list[str]:
    """Entries of a stage's params: keys of params.yaml, or a mapping from a file to its keys."""
    if not isinstance(entry, Mapping):
        return [str(entry)]
    return [
        key if file == "params.yaml" else f"{file}:{key}"
        for file, keys in entry.items()
        for key in keys or ()
    ]


def _changed(key: str, then: Any, now: Any) -> list[str]:
    if now is _ABSENT:
        return [f"params.yaml has no {key} any more"]
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        parts = sorted({*then, *now}, key=str)
        return [
            reason
            for part in parts
            for reason in _changed(f"{key}.{part}", then.get(part, _ABSENT), now.get(part, _ABSENT))
        ]
    if then is _ABSENT:
        return [f"{key} is new"]
    return [] if then == now else [f"{key} is {now}, was {then}"]
