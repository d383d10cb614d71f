"""What one set of axes shows, read back from matplotlib's artists as named series of numbers.

Values are those of the data, in the units of the axes: logarithmic axes give the values themselves. What is
placed by fractions of the axes (a rule across the panel) has no coordinate in that direction. Text, legends,
frames and discs give nothing, nor does what carries the id `FURNITURE`: the lines of a map's own grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.figures.thinning import thin_image

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection, LineCollection
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch


FURNITURE = "furniture"
"""`gid` of artists that show no data."""


@dataclass
class Series:
    """One thing drawn: its kind, its name in the legend (else empty), columns of equal length, and a note."""

    kind: str
    name: str
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    note: str = ""


def series_of(axes: Axes, cells: int) -> list[Series]:
    """Everything drawn in `axes`, in the order of drawing calls by kind.

    Args:
        axes: with data drawn.
        cells: pixels that an image may give at most; larger ones are thinned by means over blocks.
    """
    from matplotlib.container import BarContainer, ErrorbarContainer

    found, taken = [], set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            found.append(_error_bars(container))
        elif isinstance(container, BarContainer):
            found.append(_bars(container))
        else:
            continue
        taken |= {id(artist) for artist in _parts(container)}
    for line in axes.lines:
        if id(line) not in taken and _counts(line):
            found.append(_line(line, axes))
    for collection in axes.collections:
        if id(collection) not in taken and _counts(collection):
            found.extend(_collection(collection, axes, cells))
    found += [_image(image, cells) for image in axes.images if _counts(image)]
    for patch in axes.patches:
        if id(patch) not in taken and _counts(patch):
            found.extend(_patch(patch, axes))
    return [series for series in found if series.columns and len(next(iter(series.columns.values())))]


def _counts(artist: Artist) -> bool:
    return artist.get_visible() and artist.get_gid() != FURNITURE


def _parts(container: BarContainer | ErrorbarContainer) -> Iterator[object]:
    """The artists of a container: nested tuples, some of them None."""
    for part in container:
        if isinstance(part, tuple | list):
            yield from part
        else:
            yield part


def _placed(artist: Line2D | Collection | Patch, axes: Axes) -> tuple[bool, bool]:
    """Whether x, and whether y, are given in data (else in fractions of the panel or in points)."""
    return artist.get_transform().contains_branch_seperately(axes.transData)


def _plain(values: np.ndarray) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, float), np.nan)


def _points(vertices: np.ndarray, placed: tuple[bool, bool]) -> dict[str, np.ndarray]:
    vertices = _plain(vertices).reshape(-1, 2)
    return {name: vertices[:, k] for k, name in enumerate("xy") if placed[k]}


def _label(artist: object) -> str:
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


def _line(line: Line2D, axes: Axes) -> Series:
    columns = _points(np.column_stack([line.get_xdata(False), line.get_ydata(False)]), _placed(line, axes))
    if len(columns) == 1 and np.ptp(next(iter(columns.values()))) == 0:
        # A rule across the panel has two ends but one value.
        columns = {name: values[:1] for name, values in columns.items()}
        return Series("rule", _label(line), columns)
    kind = "points" if line.get_linestyle() in ("None", "", " ") else "line"
    steps = line.get_drawstyle()
    return Series(kind, _label(line), columns, "" if steps == "default" else f"drawn as {steps}")


def _error_bars(container: ErrorbarContainer) -> Series:
    line, _, bars = container
    columns = {}
    if line is not None:
        columns = {"x": _plain(line.get_xdata(False)), "y": _plain(line.get_ydata(False))}
    directions = [axis for axis in "xy" if getattr(container, f"has_{axis}err")]
    for axis, collection in zip(directions, bars, strict=True):
        # Not get_segments, which leaves out ends that are unknown.
        ends = np.array([_plain(path.vertices) for path in collection.get_paths()]).reshape(-1, 2, 2)
        along = "xy".index(axis)
        across = "yx"[along]
        columns.setdefault(across, ends[:, 0, 1 - along])
        columns[f"{axis}_low"], columns[f"{axis}_high"] = np.sort(ends[:, :, along], axis=1).T
    return Series("error bars", _label(container), columns)


def _bars(container: BarContainer) -> Series:
    boxes = np.array([_box(patch) for patch in container.patches]).reshape(-1, 2, 2)
    (x_low, y_low), (x_high, y_high) = boxes[:, 0].T, boxes[:, 1].T
    tall = container.orientation != "horizontal"
    values = _plain(container.datavalues)
    columns = {"x": (x_low + x_high) / 2 if tall else values, "y": values if tall else (y_low + y_high) / 2}
    columns |= {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
    # A histogram's name is that of its first bar.
    name = _label(container) or next(filter(None, map(_label, container.patches)), "")
    return Series("bars", name, columns)


def _box(patch: Patch) -> np.ndarray:
    corner = np.array(patch.get_xy(), float)
    return np.sort([corner, corner + [patch.get_width(), patch.get_height()]], axis=0)


def _collection(collection: Collection, axes: Axes, cells: int) -> Iterator[Series]:
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
    from matplotlib.contour import ContourSet
    from matplotlib.quiver import Quiver

    if isinstance(collection, Quiver):
        yield _arrows(collection)
    elif isinstance(collection, PathCollection):
        yield _scatter(collection, axes)
    elif isinstance(collection, ContourSet):
        yield _contours(collection)
    elif isinstance(collection, QuadMesh):
        yield _mesh(collection, cells)
    elif isinstance(collection, LineCollection):
        yield _segments(collection, axes)
    elif isinstance(collection, PolyCollection):
        yield _areas(collection, axes)


def _scatter(points: Collection, axes: Axes) -> Series:
    placed = points.get_offset_transform().contains_branch_seperately(axes.transData)
    columns = _points(points.get_offsets(), placed)
    count = len(np.atleast_2d(points.get_offsets()))
    if points.get_array() is not None:
        columns["value"] = _plain(points.get_array()).ravel()
    elif len(np.unique(points.get_facecolor(), axis=0)) > 1:
        colours = np.resize(points.get_facecolor(), (count, 4))
        columns |= _bytes(colours)
    sizes = points.get_sizes()
    if len(np.unique(sizes)) > 1:
        columns["size"] = np.resize(sizes, count)
    return Series("points", _label(points), columns, _value_label(points))


def _bytes(colours: np.ndarray) -> dict[str, np.ndarray]:
    """Colours in [0, 1] as whole numbers from 0 to 255, by channel."""
    channels = np.rint(255 * np.clip(colours.reshape(-1, colours.shape[-1])[:, :3], 0, 1))
    return dict(zip(("red", "green", "blue"), channels.T, strict=True))


def _value_label(artist: object) -> str:
    """The label of the colour bar, where there is one: what `value` means."""
    bar = getattr(artist, "colorbar", None)
    label = "" if bar is None else bar.ax.get_ylabel() or bar.ax.get_xlabel()
    return f"value: {label}" if label else ""


def _arrows(arrows: Collection) -> Series:
    columns = {"x": _plain(arrows.X), "y": _plain(arrows.Y), "u": _plain(arrows.U), "v": _plain(arrows.V)}
    if arrows.get_array() is not None:
        columns["value"] = _plain(arrows.get_array())
    columns = {name: values.ravel() for name, values in columns.items()}
    return Series("arrows", _label(arrows), columns, _value_label(arrows))


def _pieces(vertices: list[np.ndarray], placed: tuple[bool, bool]) -> dict[str, np.ndarray]:
    """Broken lines one after the other, told apart by the number of their `piece`."""
    if not vertices:
        return {}
    columns = _points(np.concatenate(vertices), placed)
    return {"piece": np.repeat(np.arange(len(vertices)), [len(piece) for piece in vertices]), **columns}


def _contours(contours: Collection) -> Series:
    values = contours.layers if contours.filled else contours.levels
    pieces, levels = [], []
    for path, level in zip(contours.get_paths(), values, strict=True):
        for piece in path.to_polygons(closed_only=False):
            pieces.append(piece)
            levels.append(np.full(len(piece), float(level)))
    columns = _pieces(pieces, (True, True))
    if columns:
        columns["value"] = np.concatenate(levels)
    return Series("filled contours" if contours.filled else "contours", _label(contours), columns)


def _segments(lines: LineCollection, axes: Axes) -> Series:
    segments = [_plain(segment) for segment in lines.get_segments()]
    columns = _pieces(segments, _placed(lines, axes))
    if columns and lines.get_array() is not None:
        columns["value"] = _plain(lines.get_array()).ravel()[columns["piece"]]
    return Series("segments", _label(lines), columns, _value_label(lines))


def _areas(areas: Collection, axes: Axes) -> Series:
    """Bands between two curves as their lower and upper edges, other areas as outlines."""
    from matplotlib.collections import FillBetweenPolyCollection

    outlines = [_plain(path.vertices) for path in areas.get_paths()]
    if not isinstance(areas, FillBetweenPolyCollection):
        return Series("areas", _label(areas), _pieces(outlines, _placed(areas, axes)), _value_label(areas))
    if not outlines:
        return Series("band", _label(areas))
    edges = [_two_edges(outline) for outline in outlines]
    one, other = (np.concatenate([pair[k] for pair in edges]) for k in (0, 1))
    along = 0 if areas.t_direction == "x" else 1
    limits = np.sort([one[:, 1 - along], other[:, 1 - along]], axis=0)
    axis, across = "xy"[along], "yx"[along]
    columns = {axis: one[:, along], f"{across}_low": limits[0], f"{across}_high": limits[1]}
    return Series("band", _label(areas), columns)


def _two_edges(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of a band, both in the order of its first one.

    matplotlib goes from a start N points along the first edge, by an end N points back along the second, and
    closes the outline.
    """
    count = (len(outline) - 3) // 2
    return outline[1 : count + 1], outline[count + 2 : 2 * count + 2][::-1]


def _image(image: AxesImage, cells: int) -> Series:
    values = np.ma.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    rows, width = values.shape[:2]
    y = first + (last - first) * (np.arange(rows) + 0.5) / rows
    x = left + (right - left) * (np.arange(width) + 0.5) / width
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    return _raster("image", image, grid, values, cells)


def _mesh(mesh: Collection, cells: int) -> Series:
    values, corners = np.ma.asarray(mesh.get_array()), np.asarray(mesh.get_coordinates(), float)
    if corners.shape[:2] != values.shape[:2]:
        shape = (corners.shape[0] - 1, corners.shape[1] - 1)
        values = values.reshape(*shape, *values.shape[2:]) if values.ndim > 1 else values.reshape(shape)
        corners = (corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:] + corners[1:, 1:]) / 4
    return _raster("mesh", mesh, corners, values, cells)


def _raster(kind: str, artist: object, grid: np.ndarray, values: np.ndarray, cells: int) -> Series:
    """Pixels row by row; bytes of a picture become shares of one before they are averaged."""
    in_colour = values.ndim == 3
    if in_colour and values.dtype == np.uint8:
        values = values / 255
    values, step = thin_image(_plain(values), cells)
    grid, _ = thin_image(grid, cells)
    columns = {"x": grid[..., 0].ravel(), "y": grid[..., 1].ravel()}
    columns |= _bytes(values) if in_colour else {"value": values.ravel()}
    seen = ~np.isnan(next(reversed(columns.values())))
    notes = [_value_label(artist), f"means over {step} × {step} pixels" if step > 1 else ""]
    return Series(
        "picture" if in_colour else kind, _label(artist), {n: c[seen] for n, c in columns.items()},
        "; ".join(note for note in notes if note),
    )  # fmt: skip


def _patch(patch: Patch, axes: Axes) -> Iterator[Series]:
    from matplotlib.patches import Polygon, Rectangle, StepPatch

    if isinstance(patch, StepPatch):
        values, edges, baseline = patch.get_data()
        low = np.broadcast_to(0.0 if baseline is None else np.asarray(baseline, float), np.shape(values))
        along, across = "xy" if patch.orientation == "vertical" else "yx"
        yield Series("steps", _label(patch), {
            f"{along}_low": _plain(edges[:-1]), f"{along}_high": _plain(edges[1:]), across: _plain(values),
            f"{across}_low": low,
        })  # fmt: skip
    elif isinstance(patch, Rectangle):
        placed = _placed(patch, axes)
        low, high = _box(patch)
        columns = {}
        for k in (k for k in (0, 1) if placed[k]):
            columns |= {f"{'xy'[k]}_low": low[[k]], f"{'xy'[k]}_high": high[[k]]}
        yield Series("span", _label(patch), columns)
    elif isinstance(patch, Polygon):
        yield Series("outline", _label(patch), _points(patch.get_xy(), _placed(patch, axes)))
