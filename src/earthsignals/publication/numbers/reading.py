"""The files that runs wrote, read once each, and numbers found in them by dotted keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthsignals.publication.sections.absent import may_lack
from earthsignals.storage import EarthSignalsError, read_json

_CLAIMS = "reports/claims.json"
_PART = re.compile(r"(?P<name>[^\[\]]*)(\[(?P<pick>[^\]]*)\])?")


class Results:
    """All results of a project: `Results(root).value("reports/tdlas/metrics.json", "test_scans")`.

    Keys are dotted; `rows[mode=dense,model=plumenet-64].seconds` picks the one entry of a list with these
    values, `rows[0]` by place.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._files: dict[str, Any] = {}

    def has(self, file: str) -> bool:
        """Is there such a file?"""
        return (self.root / file).is_file()

    def read(self, file: str) -> Any:
        """A JSON file's content; raises EarthSignalsError where it is missing or no JSON."""
        if file not in self._files:
            self._files[file] = read_json(self.root / file)
        return self._files[file]

    def may_lack(self, file: str) -> bool:
        """Whether keys may be missing: `file` is of a pipeline at a small scale (sections/absent.py)."""
        return self.has(_CLAIMS) and may_lack(self.read(_CLAIMS), file)

    def find(self, file: str, key: str) -> Any:
        """What stands at `key`, or None."""
        return _at(self.read(file), _split(key))

    def value(self, file: str, key: str) -> Any:
        """What stands at `key`; raises EarthSignalsError naming file and key where nothing does."""
        found = self.find(file, key)
        if found is None:
            raise EarthSignalsError(
                f"{file}: nothing stands at `{key}`, which the paper needs; run the stage that writes the "
                "file, or mend the key in the paper's registry"
            )
        return found

    def interval(self, file: str, key: str) -> tuple[float, float] | None:
        """The ends of the interval around `key`, or None.

        They stand at the key with `_low` and `_high` after its last part (`f1_low`) or after one before it
        (`skill_low.30`, `rmse_low.model.30`), whichever is there.
        """
        parts = _split(key)
        content = self.read(file)
        for place in reversed(range(len(parts))):
            around = [
                [*parts[:place], parts[place] + end, *parts[place + 1 :]] for end in ("_low", "_high")
            ]
            ends = [_at(content, key_parts) for key_parts in around]
            if all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends):
                return ends[0], ends[1]
        return None


def _split(key: str) -> list[str]:
    """Split at dots that stand outside of brackets."""
    return re.split(r"\.(?![^\[]*\])", key)


def _at(content: Any, parts: list[str]) -> Any:
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None or not isinstance(content, Mapping):
            return None
        content = content.get(match["name"])
        if match["pick"] is not None:
            content = _picked(content, match["pick"])
    return content


def _picked(rows: Any, pick: str) -> Any:
    """One entry of a list: by its place, or the first with all the values."""
    if not isinstance(rows, list):
        return None
    if re.fullmatch(r"-?\d+", pick):
        return rows[int(pick)] if -len(rows) <= int(pick) < len(rows) else None
    wanted = [pair.partition("=") for pair in pick.split(",")]
    fits = (
        row for row in rows
        if isinstance(row, Mapping) and all(str(row.get(name)) == value for name, _, value in wanted)
    )  # fmt: skip
    return next(fits, None)
