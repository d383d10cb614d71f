"""Where results go: refused before anything is computed, and never over what was given as input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from earthsignals.storage import EarthSignalsError, atomic_path


def check_folder(out: Path) -> None:
    """Raise EarthSignalsError where no folder `out` can be: a file has that name, or a part of it."""
    for folder in (out, *out.parents):
        if os.path.lexists(folder):
            if not folder.is_dir():
                raise EarthSignalsError(
                    f"{folder} is a file, expected a folder for the results: choose another one (--output)"
                )
            return


def check_targets(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise EarthSignalsError where a result would take the place of an input, or of no regular file."""
    given = {os.path.realpath(path) for path in inputs}
    for target in targets:
        if os.path.realpath(target) in given:
            raise EarthSignalsError(
                f"{target} is one of the inputs and would be overwritten by a result: choose another place "
                "for the results (--output), or leave it out of the inputs"
            )
        if os.path.lexists(target) and not os.path.isfile(target):
            what = "a folder" if os.path.isdir(target) else "no regular file"
            raise EarthSignalsError(
                f"{target} is {what}, expected the name of a file to write: choose another one (--output)"
            )


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """`atomic_path`, with every refusal of the operating system as an EarthSignalsError."""
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise EarthSignalsError(
            f"{path} cannot be written ({reason}): choose another place for the results (--output), or make "
            "this one writable"
        ) from None
