"""Spectral lines: HITRAN parameters from the embedded list, HAPI tables, `.par` files or the network.

A `LineList` is the pipeline's only view of spectroscopy. Its sha256 is taken over a canonical text of
the parameters, so the same lines have the same hash wherever they were read from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path

COLUMNS = (
    "molecule", "isotopologue", "nu", "intensity", "gamma_air", "gamma_self",
    "lower_energy", "n_air", "delta_air",
)  # fmt: skip
# HITRAN's 160-character record (Rothman et al. 2005, Table 1): first column, width.
PAR_FIELDS = {
    "molecule": (0, 2), "isotopologue": (2, 1), "nu": (3, 12), "intensity": (15, 10),
    "gamma_air": (35, 5), "gamma_self": (40, 5), "lower_energy": (45, 10), "n_air": (55, 4),
    "delta_air": (59, 8),
}  # fmt: skip
RECORD_NEEDED = 67  # columns up to delta_air; the quantum numbers behind them are not read
ISOTOPOLOGUE_CODES = {**{str(n): n for n in range(1, 10)}, "0": 10, "A": 11, "B": 12}
METHANE, WATER = 6, 1
EMBEDDED_EDITION = "HITRAN2020, abridged (Gordon et al. 2022, JQSRT 277, 107949)"


class LinesError(EarthSignalsError):
    """A line source that cannot be used, with the remedy."""


@dataclass(frozen=True)
class LineList:
    """HITRAN parameters of N lines, each an array of shape (N,), sorted by wavenumber.

    nu [cm-1], intensity at 296 K [cm/molecule, natural abundance], gamma_air and gamma_self
    [cm-1/atm, HWHM at 296 K], lower_energy [cm-1], n_air [1], delta_air [cm-1/atm].
    """

    molecule: np.ndarray
    isotopologue: np.ndarray
    nu: np.ndarray
    intensity: np.ndarray
    gamma_air: np.ndarray
    gamma_self: np.ndarray
    lower_energy: np.ndarray
    n_air: np.ndarray
    delta_air: np.ndarray
    edition: str = ""

    def __len__(self) -> int:
        return len(self.nu)

    def select(self, mask: np.ndarray) -> LineList:
        """The lines where `mask` (N,) is true, in the same order."""
        return LineList(*(getattr(self, name)[mask] for name in COLUMNS), edition=self.edition)

    def of_molecule(self, molecule: int) -> LineList:
        """Only the lines of one HITRAN molecule number."""
        return self.select(self.molecule == molecule)

    def within(self, low: float, high: float) -> LineList:
        """Only the lines with low <= nu <= high [cm-1]."""
        return self.select((self.nu >= low) & (self.nu <= high))

    def text(self) -> str:
        """Canonical CSV text: header and one line per transition with shortest exact floats."""
        rows = zip(*(getattr(self, name).tolist() for name in COLUMNS), strict=True)
        return "\n".join([",".join(COLUMNS), *(",".join(map(repr, row)) for row in rows)]) + "\n"

    def sha256(self) -> str:
        """Hash of the canonical text."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def _build(columns: dict[str, list], edition: str, where: str) -> LineList:
    if not columns["nu"]:
        raise LinesError(
            f"{where} holds no spectral lines; expected at least one HITRAN record. "
            "Check the file or choose tdlas.lines.source: embedded."
        )
    integers = {"molecule", "isotopologue"}
    arrays = {
        name: np.asarray(columns[name], dtype=np.int64 if name in integers else np.float64)
        for name in COLUMNS
    }
    faults = {
        "nu": arrays["nu"] <= 0, "intensity": arrays["intensity"] < 0,
        "gamma_air": arrays["gamma_air"] < 0, "lower_energy": arrays["lower_energy"] < -1.0,
    }  # fmt: skip
    for name, bad in faults.items():
        bad = bad | ~np.isfinite(arrays[name])
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise LinesError(
                f"{where}: record {row + 1} has {name} = {arrays[name][row]:g}, which is not "
                "physical; expected HITRAN values. Check that the file is a HITRAN line list."
            )
    order = np.argsort(arrays["nu"], kind="stable")
    return LineList(*(arrays[name][order] for name in COLUMNS), edition=edition)


def embedded_lines() -> LineList:
    """The abridged list shipped with the package: 12CH4 in 4383-4386 and 6045.5-6048.5 cm-1."""
    source = resources.files("earthsignals.tdlas") / "lines_embedded.csv"
    return _parse_csv(source.read_text(), "the embedded line list", EMBEDDED_EDITION)


def read_lines(path: Path) -> LineList:
    """Lines from a HAPI table (`.data` with `.header` beside), a `.par` file or our own CSV.

    Raises LinesError where the file is missing, empty or not a line list.
    """
    path = Path(path)
    if path.suffix == ".header":
        path = path.with_suffix(".data")
    if not path.suffix and path.with_suffix(".data").exists():
        path = path.with_suffix(".data")
    if not path.is_file():
        raise LinesError(
            f"{path}: no such line file. tdlas.lines.source takes 'embedded', 'hitran', or the path "
            "of a HAPI .data/.header pair, a 160-character .par file or a .csv written by this pipeline."
        )
    try:
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise LinesError(
            f"{path} is not a text file of HITRAN records (byte {error.start}); expected "
            "160-character ASCII records. Export the lines again from HITRAN or HAPI."
        ) from None
    if path.suffix == ".csv":
        return _parse_csv(text, str(path), path.name)
    if path.suffix == ".data":
        _check_header(path)
    return _parse_records(text, str(path), path.name)


def _check_header(path: Path) -> None:
    """HAPI tables may hold other columns than the 160-character record: read only those we know."""
    header = path.with_suffix(".header")
    if not header.is_file():
        return
    try:
        order = json.loads(header.read_text())["order"]
    except (ValueError, KeyError, TypeError):
        raise LinesError(
            f"{header} is not a HAPI table header (JSON with an 'order' list); fetch the table again "
            "with hapi.fetch."
        ) from None
    expected = ["molec_id", "local_iso_id", "nu", "sw", "a", "gamma_air", "gamma_self", "elower",
                "n_air", "delta_air"]  # fmt: skip
    if order[: len(expected)] != expected:
        raise LinesError(
            f"{header}: columns {order[:10]} are not those of HITRAN's 160-character record "
            f"{expected}; fetch the table again with HAPI's default parameter group ('160-char')."
        )


def _parse_records(text: str, where: str, edition: str) -> LineList:
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    for number, record in enumerate(text.splitlines(), 1):
        if not record.strip():
            continue
        try:
            if len(record) < RECORD_NEEDED:
                raise ValueError("a record cut short would pass for one with blank fields")
            for name, (start, width) in PAR_FIELDS.items():
                field = record[start : start + width]
                if name == "isotopologue":
                    value: float = ISOTOPOLOGUE_CODES[field]
                elif name == "molecule":
                    value = int(field)
                else:
                    value = float(field) if field.strip() else 0.0
                columns[name].append(value)
        except (ValueError, KeyError):
            raise LinesError(
                f"{where}, line {number}: {record[:40]!r} is not a HITRAN record (160 characters: "
                "molecule, isotopologue, wavenumber, intensity, ...). Give a HITRAN .par file or a "
                "HAPI .data file."
            ) from None
    return _build(columns, edition, where)


def _parse_csv(text: str, where: str, edition: str) -> LineList:
    rows = [row for row in text.splitlines() if row.strip() and not row.startswith("#")]
    if not rows or tuple(rows[0].split(",")) != COLUMNS:
        raise LinesError(
            f"{where}: the first row must be {','.join(COLUMNS)}; found {rows[:1]}. Use a CSV written "
            "by `tdlas-lines`, a .par file or a HAPI table."
        )
    for row in text.splitlines():
        if row.startswith("# edition: "):
            edition = row.removeprefix("# edition: ")
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    for number, row in enumerate(rows[1:], 1):
        values = row.split(",")
        try:
            if len(values) != len(COLUMNS):
                raise ValueError
            for name, value in zip(COLUMNS, values, strict=True):
                columns[name].append(float(value))
        except ValueError:
            raise LinesError(
                f"{where}: data row {number} ({row[:40]!r}) does not hold {len(COLUMNS)} numbers; "
                "write the file again or take it from its source."
            ) from None
    return _build(columns, edition, where)


def write_lines(lines: LineList, path: Path) -> None:
    """Write the canonical CSV atomically, with the edition as a comment above the header."""
    with atomic_path(path) as temporary:
        temporary.write_text(f"# edition: {lines.edition}\n{lines.text()}")


def keep_near(lines: LineList, low: float, high: float, margin: float, floor: float) -> LineList:
    """Lines within `margin` [cm-1] of the scan window and at least `floor` [cm/molecule] strong.

    Wings of lines beyond the window reach into it, so the window alone would be too little. Raises
    LinesError where no line lies in the window itself.
    """
    kept = lines.within(low - margin, high + margin)
    kept = kept.select(kept.intensity >= floor)
    if not len(kept.within(low, high)):
        span = f"{lines.nu[0]:.2f} .. {lines.nu[-1]:.2f}" if len(lines) else "none"
        raise LinesError(
            f"{lines.edition}: no line lies in the scan window {low:g} .. {high:g} cm-1 (the list "
            f"covers {span}). Set tdlas.lines.window_low/window_high inside the list or choose "
            "another tdlas.lines.source."
        )
    return kept
