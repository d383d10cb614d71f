"""Random numbers by name and number, never by history.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") maps (key, counter) to
random bits without state. The key is a hash of the seed and the stream's name; the item's index
sits in the upper half of the 256-bit counter, so item 7 draws the same numbers whether it is
computed first or last, alone or in a chunk, here or on a cluster. Each item has 2^128 blocks to
draw from before it would meet its neighbour.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

_MASK = (1 << 64) - 1


def philox(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """The generator of item `index` in the stream named `stream`, some microseconds to make.

    Streams of different names or seeds, and items of different index, are independent; equal
    arguments give equal numbers on every machine. `index` lies in [0, 2^128).

    Raises ValueError for a negative index.
    """
    if index < 0:
        raise ValueError(f"stream `{stream}`: the index is {index}, expected a number >= 0")
    counter = np.array([0, 0, index & _MASK, index >> 64], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=_key(int(seed), stream), counter=counter))


@lru_cache(maxsize=1024)
def _key(seed: int, stream: str) -> np.ndarray:
    """128-bit key, shape (2,) uint64. The separator cannot occur in a number: no collisions."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    key.flags.writeable = False
    return key


class Stream:
    """The generators of one stream with a single object moved from item to item: under 1 us each.

    `stream.at(i)` draws what `philox(seed, name, i)` draws, until the next call of `at`. For loops
    over many items, where making a generator for each would cost more than its numbers.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._bits = np.random.Philox(key=_key(int(seed), name))
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state

    def at(self, index: int) -> np.random.Generator:
        """The generator at the start of item `index` in [0, 2^128)."""
        state = self._state
        state["state"]["counter"][:] = (0, 0, index & _MASK, index >> 64)
        state["buffer_pos"], state["has_uint32"], state["uinteger"] = 4, 0, 0
        self._bits.state = state
        return self._generator
