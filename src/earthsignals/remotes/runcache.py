"""Entries of DVC's run cache: what a stage made of which inputs, so that nobody runs it twice.

An entry lies under `runs/ab/<key>/<value>`; both names are hashes of its content, which makes damage
visible. DVC itself deletes a damaged entry when it meets one, and runs the stage again.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from earthsignals.dvcfiles import parse


def fault(name: str, content: bytes) -> str | None:
    """What is wrong with the entry `name`: one clause, or None for a sound one."""
    from dvc.utils import dict_sha256
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not content:
        return "is empty"
    try:
        entry = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
        outs = [out["path"] for out in entry["outs"]]
    except (YAMLError, UnicodeDecodeError, TypeError, KeyError):
        return "is not what DVC writes"
    # DVC's own rule: sizes do not count, and the key knows outputs by their paths alone.
    left_out = ["size", "nfiles"]
    place = PurePosixPath(name)
    if dict_sha256(entry, exclude=left_out) != place.name:
        return "does not have the hash that is its name"
    if dict_sha256(entry | {"outs": outs}, exclude=left_out) != place.parent.name:
        return "lies under the key of another run"
    return None


def outputs(content: bytes) -> list[dict[str, Any]]:
    """The outputs (`path`, `md5`) of a sound entry."""
    entry = parse(content.decode("utf-8"), "a run-cache entry", as_text=True)
    return [out for out in entry["outs"] if out.get("hash") == "md5"]
