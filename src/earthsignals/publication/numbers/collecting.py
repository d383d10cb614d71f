"""Collect the registry's numbers: each as text, with its interval and the place it comes from."""

from __future__ import annotations

from collections.abc import Mapping

from earthsignals.publication.numbers.formats import formatted, interval
from earthsignals.publication.numbers.reading import Results
from earthsignals.publication.numbers.registry import Entry
from earthsignals.publication.sections.absent import DASH
from earthsignals.storage import EarthSignalsError

Numbers = dict[str, dict[str, dict[str, str]]]


def collect(results: Results, registry: Mapping[str, Mapping[str, Entry]]) -> Numbers:
    """Every number by section and name: `value` and, where there is one, `interval`, as text; `source`.

    A dash, and `absent`, stand for what a pipeline at a small scale lacks (sections/absent.py).

    Raises EarthSignalsError naming file and key of the first that is missing.
    """
    return {
        section: {name: _number(results, section, entry) for name, entry in entries.items()}
        for section, entries in registry.items()
    }


def _number(results: Results, section: str, entry: Entry) -> dict[str, str]:
    file = entry.file(section)
    if results.find(file, entry.at) is None and results.may_lack(file):
        return {"value": DASH, "absent": "at this scale", "source": f"{file}: {entry.at}"}
    value = results.value(file, entry.at)
    around = results.interval(file, entry.at)
    try:
        number = {"value": formatted(value, entry.format)}
        if around is not None:
            number["interval"] = interval(*(formatted(end, entry.format) for end in around))
    except EarthSignalsError as error:
        raise EarthSignalsError(
            f"{file}: at `{entry.at}`, {error}; write the file anew, or mend the paper's registry"
        ) from None
    return number | {"source": f"{file}: {entry.at}"}
