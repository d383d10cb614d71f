"""What is known of a folder's files beside the files themselves: its records.csv, if it has one.

The table needs a column `file` (path within the folder); `category` ("earthquake" or "noise"), `p_sample`,
`s_sample` (from the file's first sample, at the window's sampling rate), `magnitude`, `distance_km`,
`azimuth_deg` and `event` are used where they are there, and any cell may be empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from earthsignals.storage import EarthSignalsError

NAME = "records.csv"
NUMBERS = ("p_sample", "s_sample", "magnitude", "distance_km", "azimuth_deg")
TEXTS = ("category", "event")
CATEGORIES = ("earthquake", "noise")


def read_catalogue(folder: Path, files: Iterable[str]) -> pd.DataFrame:
    """One row for each of `files` (paths within `folder`), in their order, with NUMBERS and TEXTS.

    What records.csv does not tell is NaN or "". Raises EarthSignalsError for a table that cannot be used.
    """
    path = folder / NAME
    files = list(files)
    known = _read(path) if path.is_file() else pd.DataFrame({"file": pd.Series(dtype=str)})
    for column in NUMBERS:
        if column not in known:
            known[column] = np.nan
    for column in TEXTS:
        if column not in known:
            known[column] = ""
    table = known.set_index("file")[[*NUMBERS, *TEXTS]].reindex(files)
    return table.fillna(dict.fromkeys(TEXTS, ""))


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise EarthSignalsError(f"{path} is not readable as a table ({error}); mend or remove it") from None
    if "file" not in table:
        raise EarthSignalsError(
            f"{path} has no column `file` but {', '.join(table.columns[:8])}; expected one row per waveform "
            "file, named by its path within the folder; mend or remove the table"
        )
    twice = table["file"][table["file"].duplicated()]
    if len(twice):
        raise EarthSignalsError(f"{path} names {twice.iloc[0]} more than once; keep one row per file")
    for column in set(NUMBERS) & set(table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table[column][numbers.isna() & ~table[column].str.lower().isin(["", "nan"])]
        if len(wrong):
            raise EarthSignalsError(f"{path}: {column} holds {wrong.iloc[0]!r}, expected a number or nothing")
        table[column] = numbers.replace([np.inf, -np.inf], np.nan)
    if "category" in table:
        unknown = sorted(set(table["category"]) - {"", *CATEGORIES})
        if unknown:
            raise EarthSignalsError(
                f"{path}: category holds {unknown[0]!r}, expected {' or '.join(CATEGORIES)}"
            )
    return table
