"""What figures are drawn from: the evaluation's arrays, and a word on what it takes to have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from earthsignals import results

Arrays = Mapping[str, np.ndarray]

take = partial(
    results.take,
    needs="only simulated scans can be stressed and repeated (tdlas.dataset.source: simulated)",
)
