"""What a view's file describes, for tests: its models and the columns of its sources."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def document(view: Path) -> Any:
    """Bokeh's description inside a `<view>.json`."""
    return json.loads(view.read_text())["document"]


def walk(item: Any) -> Iterator[dict]:
    """All objects of a description, outermost first."""
    if isinstance(item, dict):
        yield item
        for value in item.values():
            yield from walk(value)
    elif isinstance(item, list):
        for value in item:
            yield from walk(value)


def sources(view: Path, *names: str) -> list[dict[str, Any]]:
    """Columns of the sources that have all of `names`."""
    found = (
        dict(item["attributes"]["data"]["entries"]) for item in walk(document(view))
        if item.get("name") == "ColumnDataSource" and "entries" in item.get("attributes", {}).get("data", {})
    )  # fmt: skip
    return [{n: array(v) for n, v in each.items()} for each in found if set(names) <= set(each)]


def array(value: Any) -> Any:
    """A column, its packed arrays unpacked."""
    if isinstance(value, dict) and value.get("type") == "ndarray":
        content = value["array"]
        if isinstance(content, dict):
            flat = np.frombuffer(gzip.decompress(base64.b64decode(content["data"])), value["dtype"])
            return flat.reshape(value["shape"])
        return np.reshape(content, value["shape"])
    return [array(each) for each in value] if isinstance(value, list) else value


def models(view: Path, kind: str) -> list[dict[str, Any]]:
    """Attributes of all models of a kind."""
    return [i["attributes"] for i in walk(document(view)) if i.get("name") == kind and "attributes" in i]
