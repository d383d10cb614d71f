"""Entries of DVC's run cache: what a stage made of which inputs, so that nobody runs it twice.

An entry lies under `runs/ab/<key>/<value>`; both names are hashes of its content, which makes damage
visible. DVC itself deletes a damaged entry when it meets one, and runs the stage again.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from earthsignals.dvcfiles import is_md5, parse


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
        if any(out.get("hash") == "md5" and not is_md5(out.get("md5")) for out in entry["outs"]):
            return "is not what DVC writes"
        # DVC's own rule: sizes do not count, and the key knows outputs by their paths alone.
        left_out = ["size", "nfiles"]
        value = dict_sha256(entry, exclude=left_out)
        key = dict_sha256(entry | {"outs": outs}, exclude=left_out)
    except (YAMLError, TypeError, ValueError, LookupError, AttributeError):
        return "is not what DVC writes"
    place = PurePosixPath(name)
    if value != place.name:
        return "does not have the hash that is its name"
    return None if key == place.parent.name else "lies under the key of another run"


def outputs(content: bytes) -> list[dict[str, Any]]:
    """The outputs (`path`, `md5`) of a sound entry."""
    entry = parse(content.decode("utf-8"), "a run-cache entry", as_text=True)
    return [out for out in entry["outs"] if out.get("hash") == "md5"]
