"""docs/house.svg: the floors of the house as import-linter holds them, and how data flow through stages."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from earthsignals.cli.reference.stages import feeds
from earthsignals.dvcfiles import read_stages
from earthsignals.storage import EarthSignalsError

_WIDTH, _MARGIN, _GAP = 1120, 28, 10
_ROOF, _LINE = 92, 13
_CHIP = 24
# Pale tints of the house's colours, from the roof down; text on all of them is near black.
_TINTS = ("#dcebf5", "#f9e0cf", "#d5eee5", "#fbeccb", "#e9dff0", "#dff0fa", "#e8e8e4")
_INK, _SOFT, _PAPER, _EDGE = "#1d1d1f", "#55555c", "#fcfbf8", "#c9c6bd"
_STYLE = f"""\
text {{ font-family: "DejaVu Sans", Verdana, Helvetica, sans-serif; fill: {_INK}; }}
.name {{ font-size: 14px; font-weight: bold; }}
.said {{ font-size: 10px; fill: {_SOFT}; }}
.head {{ font-size: 16px; font-weight: bold; }}
.chip {{ font-size: 11px; }}"""


def house_picture(root: Path) -> str:
    """The picture as SVG text, on a ground of its own so that it can be read on light and dark pages.

    Rooms and floors come from the layers in pyproject.toml, what each is from its docstring, the flow from
    dvc.yaml: a new pipeline appears by itself.
    """
    floors = layers(root)
    body, top = list(_roof()), 24 + _ROOF
    for number, rooms in enumerate(floors):
        height, drawn = _floor(root, rooms, top, _TINTS[number % len(_TINTS)])
        body += drawn
        top += height + _GAP
    body += _downwards(24 + _ROOF, top - _GAP)
    height, drawn = _flow(read_stages(root), top + 34)
    body += drawn
    total = top + 34 + height + 20
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}" role="img" '
        'aria-labelledby="title desc">',
        '<title id="title">The house of earthsignals</title>',
        '<desc id="desc">Floors from top to bottom: '
        + escape("; ".join(", ".join(rooms) for rooms in floors))
        + ". Every import points downwards; rooms of one floor stand side by side. "
        "Below them the stages of each pipeline from raw data to figures, and the paper made of them.</desc>",
        f"<style>\n{_STYLE}\n</style>",
        f'<rect width="{_WIDTH}" height="{total}" rx="14" fill="{_PAPER}"/>',
        *body,
        "</svg>",
    ]) + "\n"  # fmt: skip


def layers(root: Path) -> list[list[str]]:
    """The floors, top first, each as the names of its rooms, from import-linter's contract.

    Raises EarthSignalsError where pyproject.toml has no contract of the type `layers`.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings.get("tool", {}).get("importlinter", {}).get("contracts", []):
        if contract.get("type") == "layers":
            return [re.split(r"\s*[|:]\s*", layer.strip()) for layer in contract["layers"]]
    raise EarthSignalsError(
        "pyproject.toml: has no import-linter contract of the type `layers`, expected the floors; restore it"
    )


def _roof() -> Iterator[str]:
    left, right, foot = _MARGIN - 10, _WIDTH - _MARGIN + 10, 18 + _ROOF
    yield f'<path d="M{left} {foot} L{_WIDTH // 2} 16 L{right} {foot} Z" fill="#0072B2"/>'
    doors = "make · dvc repro · earthsignals … · notebooks"
    for y, font, text in ((66, "bold 18px", "earthsignals"), (88, "11px", doors)):
        style = f"fill:#fff;font:{font} 'DejaVu Sans',Verdana,sans-serif"
        yield f'<text x="{_WIDTH // 2}" y="{y}" text-anchor="middle" style="{style}">{text}</text>'


def _floor(root: Path, rooms: list[str], top: int, tint: str) -> tuple[int, list[str]]:
    left, width = _MARGIN + 26, _WIDTH - 2 * _MARGIN - 26
    each = (width - _GAP * (len(rooms) - 1)) / len(rooms)
    said = {room: textwrap.wrap(_docstring(root, room), int((each - 24) / 5.9)) for room in rooms}
    height = 34 + _LINE * max(map(len, said.values())) + 8
    drawn = []
    for number, room in enumerate(rooms):
        x = left + number * (each + _GAP)
        drawn.append(f'<rect x="{x:.1f}" y="{top}" width="{each:.1f}" height="{height}" rx="6" fill="{tint}" '
                     f'stroke="{_EDGE}"/>')  # fmt: skip
        drawn.append(f'<text class="name" x="{x + 12:.1f}" y="{top + 22}">{escape(room)}</text>')
        drawn += [
            f'<text class="said" x="{x + 12:.1f}" y="{top + 40 + _LINE * line}">{escape(text)}</text>'
            for line, text in enumerate(said[room])
        ]
    return height, drawn


def _docstring(root: Path, room: str) -> str:
    """The first line of a room's docstring, without importing it."""
    source = root / "src" / "earthsignals" / room
    path = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
    if not path.is_file():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].replace("`", "").rstrip(".")


def _downwards(top: int, bottom: int) -> Iterator[str]:
    x, middle = _MARGIN + 6, (top + bottom) // 2
    yield f'<path d="M{x} {top} V{bottom - 8}" stroke="{_SOFT}" stroke-width="1.6"/>'
    yield f'<path d="M{x - 5} {bottom - 9} L{x} {bottom} L{x + 5} {bottom - 9} Z" fill="{_SOFT}"/>'
    yield (f'<text class="said" transform="translate({x + 14} {middle}) rotate(-90)" text-anchor="middle">'
           "every import points downwards</text>")  # fmt: skip


def _flow(stages: Mapping[str, Any], top: int) -> tuple[int, list[str]]:
    """One row per pipeline; a stage stands right of all that it reads from."""
    depth: dict[str, int] = {}
    for first, second in feeds(stages):  # dvc.yaml lists what is read before what reads it
        depth[second] = max(depth.get(second, 0), depth.setdefault(first, 0) + 1)
    columns = max(depth.values(), default=0) + 1
    left, width = _MARGIN + 112, _WIDTH - 2 * _MARGIN - 112
    step = width / columns
    said = "each stage reads from those left of it; figures of all pipelines end in the paper"
    drawn = [f'<text class="head" x="{_MARGIN}" y="{top}">What flows through it</text>',
             f'<text class="said" x="{_MARGIN + 216}" y="{top}">{said}</text>']  # fmt: skip
    y = top + 18
    for pipeline in dict.fromkeys(name.partition("-")[0] for name in stages):
        own = [name for name in stages if name.partition("-")[0] == pipeline]
        cells: dict[int, list[str]] = {}
        for name in own:
            cells.setdefault(depth.get(name, 0), []).append(name)
        height = max(map(len, cells.values())) * (_CHIP + 4)
        middle = y + height / 2
        drawn.append(f'<text class="name" x="{_MARGIN}" y="{middle + 3:.1f}">{escape(pipeline)}</text>')
        start, end = left + min(cells) * step + 6, left + max(cells) * step + 6
        line = f"M{start:.1f} {middle - 2:.1f} H{end:.1f}"
        drawn.append(f'<path d="{line}" stroke="{_EDGE}" stroke-width="2"/>')
        for column, names in cells.items():
            first = middle - len(names) * (_CHIP + 4) / 2
            for number, name in enumerate(names):
                drawn += _chip(left + column * step, first + number * (_CHIP + 4), step - 10, name)
        y += height + 8
    return y - top, drawn


def _chip(x: float, y: float, width: float, name: str) -> Iterator[str]:
    verb = name.partition("-")[2] or name
    yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_CHIP}" rx="12" fill="#fff" '
           f'stroke="{_SOFT}" stroke-width="0.8"/>')  # fmt: skip
    yield (f'<text class="chip" x="{x + width / 2:.1f}" y="{y + 16:.1f}" text-anchor="middle">'
           f"{escape(verb)}</text>")  # fmt: skip
