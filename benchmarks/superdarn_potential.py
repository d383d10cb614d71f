"""The potential of map records beside pydarn's own, measured in one run: equal, and how much faster.

    python benchmarks/superdarn_potential.py [--quick] [--install | --pydarn PYTHON]
                                             [--report reports/benchmarks/superdarn_potential.json]

pydarn is no dependency of the project. The interpreter that has it is named by --pydarn; else this one is
tried; else (and with --install at once) `pip install pydarn` makes an environment of its own in
.resume/pydarn, kept for the next run: 1–2 minutes and 0.5 GB, once.

Made here: records of orders 4, 6 and 8 with latmin 50°, 62° and 72°, north and south. The potential is asked
for on pydarn's own grid, 1° × 2°, from 30° of latitude (its default, and the headline) and from 60°; the
drift on 1° × 2° from a degree inside latmin (at it pydarn divides by zero) to 89°. Both sides work on the
same records and points, in turns; seconds are medians of processor time, of all threads, ours of calls before
and after each of theirs. Also a day of 720 records, ours alone, and map files of the real data where they are
there. Relative errors are over the largest value. Without --quick each of theirs is measured three times,
and the real records on the large grid too. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError, write_json
from earthsignals.superdarn.maps import Maps, maps_of, read_maps, take
from earthsignals.superdarn.potential import drift, extremes, potential
from earthsignals.tracking import describe_machine

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / ".resume" / "pydarn"
CASES = ((4, 50.0, 1), (6, 62.0, -1), (8, 72.0, 1))
"""Order, latmin, hemisphere."""

CALLS = 20
DAY = 720

# Runs in the interpreter that has pydarn: a line of JSON in, a line out, arrays in a file between them.
THEIRS = """
import json, sys, time
from importlib import metadata
answers, sys.stdout = sys.stdout, sys.stderr
import numpy as np
import pydarn
from pydarn import Hemisphere, Maps
print(json.dumps({"version": metadata.version("pydarn")}), file=answers, flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    given = np.load(ask["file"], allow_pickle=False)
    side, order = Hemisphere(ask["hemisphere"]), ask["order"]
    started = time.process_time()
    if ask["what"] == "potential":
        _, _, kilovolts = Maps.calculate_potentials(
            given["coefficients"], ask["latmin"], fit_order=order, lowlat=ask["lowest"], hemisphere=side)
        spent, out = time.process_time() - started, kilovolts * 1000
    else:
        speed, azimuth = Maps.calculated_fitted_velocities(
            given["mlat"], np.radians(given["mlon"]), given["coefficients"], side, order, ask["latmin"])
        spent = time.process_time() - started
        out = np.stack([speed * np.cos(azimuth), speed * np.sin(azimuth)])
    np.save(ask["out"], out)
    print(json.dumps({"seconds": spent}), file=answers, flush=True)
"""


def main() -> None:
    """Find pydarn, run the races, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each of pydarn's calls once")
    parser.add_argument("--pydarn", metavar="PYTHON", help="an interpreter that has pydarn")
    parser.add_argument("--install", action="store_true", help="install pydarn into .resume/pydarn")
    parser.add_argument("--report", type=Path, help="also write the JSON here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="potential-") as folder:
        theirs = Theirs(find_pydarn(options.pydarn, options.install), Path(folder))
        try:
            found = races(theirs, 1 if options.quick else 3)
        finally:
            theirs.close()
    found["day_of_720_records_seconds"] = seconds_of_a_day()
    found["pydarn"], found["machine"] = theirs.version, describe_machine()
    print(table(found))
    if options.report:
        write_json(options.report, found)
    print(json.dumps(found))


def find_pydarn(named: str | None, install: bool) -> str:
    """The interpreter that has pydarn; installs one where there is none."""
    if named:
        if not has_pydarn(named):
            raise EarthSignalsError(f"{named} cannot import pydarn, expected an interpreter that has it")
        return named
    own = str(OWN / "bin" / "python")
    if not install and has_pydarn(sys.executable):
        return sys.executable
    if not has_pydarn(own):
        print(f"installing pydarn into {OWN.relative_to(ROOT)} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(OWN)], check=True)
        quiet = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pydarn"]
        if subprocess.run(quiet, check=False, stdout=sys.stderr).returncode or not has_pydarn(own):
            raise EarthSignalsError(
                "pydarn could not be installed, expected pip to reach a package index: install it elsewhere "
                "and name its interpreter with --pydarn"
            )
    return own


def has_pydarn(python: str) -> bool:
    """Can this interpreter import pydarn?"""
    try:
        asked = subprocess.run([python, "-c", "import pydarn"], capture_output=True, check=False)
    except OSError:
        return False
    return asked.returncode == 0


class Theirs:
    """pydarn in a process of its own, asked a question at a time."""

    def __init__(self, python: str, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [python, "-c", THEIRS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.version = self._answer()["version"]

    def ask(self, one: Maps, what: str, points: tuple[np.ndarray, np.ndarray], **more: Any) -> Any:
        """Seconds of processor time, and the values."""
        file, out = self.folder / "ask.npz", self.folder / "answer.npy"
        coefficients = one.coefficients[0, : (int(one.order[0]) + 1) ** 2]
        np.savez(file, coefficients=coefficients, mlat=points[0], mlon=points[1])
        question = {
            "file": str(file), "out": str(out), "what": what, "latmin": float(one.latmin[0]),
            "order": int(one.order[0]), "hemisphere": int(one.hemisphere[0]), **more,
        }  # fmt: skip
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()["seconds"], np.load(out, allow_pickle=False)

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise EarthSignalsError("pydarn ended without an answer, expected its potentials: is it 4.x?")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def made_record(order: int, latmin: float, hemisphere: int, number: int) -> dict[str, Any]:
    """A record with random coefficients that fall off with degree and order, of some 10 kV."""
    draw = philox(0, "superdarn-benchmark-potential", number)
    degree = np.repeat(np.arange(order + 1), 2 * np.arange(order + 1) + 1)
    offset = np.arange(len(degree)) - degree**2
    # P_l^m grows as (2m − 1)!!, so its coefficient falls so.
    falling = np.cumprod(np.r_[1.0, np.arange(1, 2 * order, 2.0)])[(offset + 1) // 2] * (1 + degree)
    return {
        "fit.order": order, "latmin": latmin * hemisphere, "hemisphere": hemisphere,
        "N+2": 2e4 * draw.standard_normal(len(degree)) / falling,
        **{f"{end}.{part}": value for end in ("start", "end")
           for part, value in {"year": 2015, "month": 3, "day": 1}.items()},
    }  # fmt: skip


def races(theirs: Theirs, repeats: int) -> dict[str, Any]:
    """All cases: medians of seconds, their ratios, and the largest relative differences."""
    spent: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in ("potential from 30°", "potential from 60°", "drift")
    }
    errors = dict.fromkeys(spent, 0.0)
    records = [maps_of([made_record(*case, number)]) for number, case in enumerate(CASES)]
    real = real_maps()
    for number, one in enumerate([*records, *real]):
        is_real = number >= len(records)
        for name, (ours, other) in spent.items():
            if is_real and repeats == 1 and name == "potential from 30°":
                continue
            lowest = {"potential from 30°": 30, "potential from 60°": 60}.get(name)
            start = lowest or float(one.latmin[0]) + 1
            mlat, mlon = np.meshgrid(np.arange(start, 91 if lowest else 90), np.arange(0, 361, 2.0))
            points = (mlat * one.hemisphere[0], mlon)

            def run(one: Maps = one, points: Any = points, potentials: bool = bool(lowest)) -> np.ndarray:
                return (potential if potentials else drift)(one, *points)[0]

            run()  # warms up
            for _ in range(1 if is_real else repeats):
                ours += timed(run)
                flat = (points[0].ravel(), points[1].ravel())
                seconds, expected = theirs.ask(
                    one, "potential" if lowest else "drift", flat, lowest=lowest or 0
                )
                other.append(seconds)
                ours += timed(run)
            off = np.abs(run().reshape(expected.shape) - expected).max() / np.abs(expected).max()
            errors[name] = max(errors[name], float(off))
    out: dict[str, Any] = {}
    for name, (ours, other) in spent.items():
        out[name] = {
            "ours_seconds": statistics.median(ours), "pydarn_seconds": statistics.median(other),
            "speedup": statistics.median(other) / statistics.median(ours), "max_rel_error": errors[name],
        }  # fmt: skip
    return {
        "speedup_vs_pydarn": out["potential from 30°"]["speedup"], "max_rel_error": max(errors.values()),
        "races": out, "real_records": len(real), "max_rel_error_vs_file": against_file(real),
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> list[float]:
    """Seconds of processor time of each of some calls."""
    spent = []
    for _ in range(CALLS // 2):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return spent


def real_maps() -> list[Maps]:
    """Records of real map files, one by one; none where the data are not there."""
    folder = (ROOT / load_settings().real_data / "superdarn").resolve()
    files = [folder / "pydarn_tests" / "test.north.mp", folder / "dmap_tests" / "test.map"]
    return [take(maps, n) for file in files if file.is_file() for maps in [read_maps(file)]
            for n in range(len(maps))]  # fmt: skip


def against_file(real: list[Maps]) -> float | None:
    """Largest relative difference from the files' own pot.max, pot.min and pot.drop."""
    off = [abs(extremes(one)[key][0] / one.stated[key][0] - 1) for one in real for key in extremes(one)]
    return float(max(off)) if off else None


def seconds_of_a_day() -> float:
    """Processor time of 720 records on the default grid, by us, at once."""
    records = [made_record(8, float(latmin), 1, 100 + n) for n, latmin in enumerate(np.arange(DAY) % 12 + 56)]
    maps = maps_of(records)
    mlat, mlon = np.meshgrid(np.arange(30, 91.0), np.arange(0, 361, 2.0))
    started = time.process_time()
    potential(maps, mlat, mlon)
    return time.process_time() - started


def table(found: dict[str, Any]) -> str:
    """The races for people."""
    lines = [f"{'':<20}{'ours [ms]':>11}{'pydarn [ms]':>13}{'ratio':>9}{'relative error':>16}"]
    for name, row in found["races"].items():
        lines.append(
            f"{name:<20}{1e3 * row['ours_seconds']:>11.2f}{1e3 * row['pydarn_seconds']:>13.0f}"
            f"{row['speedup']:>9.0f}{row['max_rel_error']:>16.1e}"
        )
    lines.append(f"a day of {DAY} records, ours: {found['day_of_720_records_seconds']:.2f} s")
    if found["real_records"]:
        lines.append(
            f"{found['real_records']} real records: pot.max, pot.min and pot.drop within "
            f"{found['max_rel_error_vs_file']:.0e} of the file's own"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except EarthSignalsError as error:
        sys.exit(f"error: {error}")
