"""The registry of the paper's numbers: name ← file, place in it, format, in one YAML file.

`reports/paper/numbers.yaml` holds one section per pipeline, or `benchmarks` or `claims`:

    tdlas:
      rmse_mid: {of: metrics, at: scores.model.1e2-1e3.rmse_over_crlb, format: fixed 2}

`of` is `metrics` or `real` (of that pipeline), the name of a file in `reports/benchmarks`, or `claims`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from earthsignals.params import ParamsError, Section, read_yaml, validate
from earthsignals.publication.numbers.formats import check_format

_NAME = re.compile(r"[a-z]+(_[a-z]+)*")
_OF_PIPELINE = ("metrics", "real")


class Entry(Section):
    """Where one number of the paper stands, and how it is written."""

    of: str
    at: str
    format: str

    def file(self, section: str) -> str:
        """The file's path in the project, of an entry in this section of the registry."""
        if self.of in _OF_PIPELINE:
            return f"reports/{section}/{self.of}.json"
        return "reports/claims.json" if self.of == "claims" else f"reports/benchmarks/{self.of}.json"


def load_registry(path: str | Path) -> dict[str, dict[str, Entry]]:
    """Entries by section and name, in the file's order.

    Raises ParamsError for a name that is no LaTeX command (letters and underscores alone), an unknown key
    or an unknown format.
    """
    source = Path(path).as_posix()
    registry: dict[str, dict[str, Entry]] = {}
    for section, entries in read_yaml(path).items():
        registry[section] = {}
        if section == "facts":
            raise ParamsError(f"{source}: `facts` is the name of what facts.yaml holds; rename the section")
        if not isinstance(entries, Mapping | None):
            raise ParamsError(f"{source}: `{section}` is no section, expected names of numbers; mend it")
        for name, values in (entries or {}).items():
            if not _NAME.fullmatch(str(name)):
                raise ParamsError(
                    f"{source}: `{section}.{name}` becomes a LaTeX command, so it may hold lower-case "
                    "letters and single underscores alone; rename it"
                )
            entry = validate(Entry, values, source=source, prefix=f"{section}.{name}")
            check_format(entry.format, where=f"{source}: `{section}.{name}.format`")
            registry[section][name] = entry
    return registry
