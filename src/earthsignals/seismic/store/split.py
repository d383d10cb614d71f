"""Which records train and which are held out: no event and no station on two sides.

Two records of one earthquake share its source, two of one station share its site and its noise. A test set
that shares either with the training set measures memory. So events and stations are the vertices of a graph
and records its edges: what hangs together goes to one side. Where nearly everything hangs together, as in
the catalogue of one dense network, stations are dealt out instead, events follow most of their records,
and records of an event of one side at a station of another are "unused" (and counted).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earthsignals.seismic.params import StoreParams
from earthsignals.storage import EarthSignalsError

SPLITS = ("train", "dev", "test")
UNUSED = "unused"


class SplitError(EarthSignalsError):
    """The records cannot be divided."""


def assign_splits(events: Sequence[str], stations: Sequence[str], params: StoreParams) -> np.ndarray:
    """Split of each record, (N,) of "train", "dev", "test" or "unused".

    events: identifier of each record's event, "" where there is none (noise follows its station).
    stations: identifier of each record's station. The order of records does not matter.

    Of two divisions the one whose shares of records come closer to those asked for is taken: all that
    hangs together stays together, or what holds more than half of a held-out share is broken up.

    Raises SplitError when a split would remain empty.
    """
    event_names, event = np.unique(np.asarray(events, dtype=object).astype(str), return_inverse=True)
    station_names, station = np.unique(np.asarray(stations, dtype=object).astype(str), return_inverse=True)
    has_event = event_names[event] != ""
    fractions = _fractions(params)
    group = _connected(event, station, has_event, len(event_names), len(station_names))
    names = _first_names(group, station_names[station])

    whole = _deal(group, names, fractions, params.seed)[group]
    largest = np.bincount(group) > 0.5 * fractions[1:].min() * len(group)
    broken = _break(largest[group], group, names, event, has_event, station, station_names, params)
    choices = [sides for sides in (whole, broken) if _complete(sides)]
    if not choices:
        raise SplitError(
            f"{len(group)} records of {len(station_names)} stations and {len(set(event[has_event]))} events "
            "cannot be divided into train, dev and test without sharing an event or a station: add records "
            "of other stations, or change store.validation_fraction and store.test_fraction"
        )
    best = min(choices, key=lambda sides: _distance(sides, fractions))
    return np.array([*SPLITS, UNUSED])[best]


def _fractions(params: StoreParams) -> np.ndarray:
    held_out = params.validation_fraction, params.test_fraction
    return np.array([1 - sum(held_out), *held_out])


def _complete(sides: np.ndarray) -> bool:
    return all((sides == side).any() for side in range(len(SPLITS)))


def _distance(sides: np.ndarray, fractions: np.ndarray) -> float:
    """How far the shares are from those asked for; unused records are missing in one of them."""
    shares = np.bincount(sides, minlength=len(SPLITS))[: len(SPLITS)] / len(sides)
    return float(np.abs(shares - fractions).sum())


def _connected(
    event: np.ndarray, station: np.ndarray, has_event: np.ndarray, events: int, stations: int
) -> np.ndarray:
    """Group of each record (N,): records that share events or stations, directly or through others."""
    rows, columns = event[has_event], events + station[has_event]
    vertices = events + stations
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(vertices, vertices))
    _, label = connected_components(graph, directed=False)
    return np.unique(label[events + station], return_inverse=True)[1]


def _first_names(group: np.ndarray, station_of: np.ndarray) -> list[str]:
    """A group is named by its first station, so that its lot does not hang on the order of records."""
    order = np.lexsort((station_of, group))
    firsts = np.unique(group[order], return_index=True)[1]
    return list(station_of[order][firsts])


def _lot(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")


def _deal(group: np.ndarray, names: Sequence[str], fractions: np.ndarray, seed: int) -> np.ndarray:
    """Side of each group: in the order of their lots to the side that lacks most records.

    Groups larger than the smallest share come first, the largest before the others, since later ones can
    still even them out. The last groups go to sides that are still empty.
    """
    sizes = np.bincount(group)
    large = sizes > fractions.min() * sizes.sum()
    rank = [(not large[g], -sizes[g] * large[g], _lot(names[g], seed)) for g in range(len(sizes))]
    order = sorted(range(len(sizes)), key=rank.__getitem__)
    sides, missing = np.zeros(len(sizes), dtype=int), fractions * sizes.sum()
    empty = set(range(len(SPLITS)))
    for number, g in enumerate(order):
        urgent = len(order) - number <= len(empty)
        side = max(empty if urgent else range(len(SPLITS)), key=lambda s: missing[s])
        sides[g] = side
        missing[side] -= sizes[g]
        empty.discard(side)
    return sides


def _break(
    loose: np.ndarray,
    group: np.ndarray,
    names: Sequence[str],
    event: np.ndarray,
    has_event: np.ndarray,
    station: np.ndarray,
    station_names: np.ndarray,
    params: StoreParams,
) -> np.ndarray:
    """Side of each record when the stations of `loose` records (N,) bool are dealt out one by one."""
    pieces, piece = np.unique(
        np.where(loose, station, len(station_names) + group), return_inverse=True
    )
    labels = [*station_names, *names]  # of every possible piece
    labels = [str(labels[p]) for p in pieces]
    of_station = _deal(piece, labels, _fractions(params), params.seed)[piece]
    # An event goes where most of its records are, at equal numbers to the smaller share.
    votes = np.zeros((event.max() + 1, len(SPLITS)))
    np.add.at(votes, (event[has_event], of_station[has_event]), 1)
    of_event = np.argmax(votes + (1 - _fractions(params)) * 1e-3, axis=1)[event]
    return np.where(has_event & (of_event != of_station), len(SPLITS), of_station)
