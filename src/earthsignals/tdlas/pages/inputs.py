"""What views of the TDLAS pipeline are drawn from: that of its figures."""

from __future__ import annotations

from dataclasses import dataclass

from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.figures.inputs import Arrays
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams


@dataclass(frozen=True)
class Inputs:
    """file: the open dataset. arrays: `evaluation.h5`."""

    file: ScanFile
    lines: LineList
    params: TdlasParams
    arrays: Arrays
