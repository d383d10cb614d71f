"""`dvc push` and `dvc pull` beside rsync, scp and rclone: the same bytes, in turns, in one run.

    python benchmarks/transport.py [--quick] [--megabytes 1024] [--rounds 3]
                                   [--report reports/benchmarks/transport.json]

A dataset of four shards of random bytes goes to a real sshd (services/sshd.sh) and a real S3 server
(services/s3.sh) and comes back, over the loopback and over a link of 1 Gbit/s with 5 ms each way. Every
transfer starts with an empty place at its end. Times are of whole commands, the start of Python and DVC
included; the start alone (a push that finds nothing to do) is told apart. In the tunnel (`make tunnel`) bytes
are encrypted twice, on this one machine by both ends' processes: there it costs more than between two.
The last rows tell why datasets are a handful of shards: 16 MB in four files and in 1,000 files.
Each figure is the median of the rounds; `ratio` is to rsync (S3: to rclone) of the same link and direction,
`ratio_after_start` the same without the start of DVC, which a larger dataset makes small.
Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from slow_link import slow_link, why_not  # noqa: E402

from earthsignals.remotes.ports import free_port, listens  # noqa: E402
from earthsignals.storage import write_json  # noqa: E402
from earthsignals.tracking import describe_machine  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARDS = 4
RATE_MBIT, DELAY_MS = 1000, 5
SMALL_MB, SMALL_FILES = 16, 1000
_LINE = (
    "{link:<10}{way:<5}{direction:<6}{files:>5}  {tool:<14}"
    "{seconds:>8.2f} s {mb_per_s:>7.1f} MB/s {ratio:>6.2f}"
)
Server = dict[str, str]


@dataclass
class Bench:
    """Where it happens: a DVC project with the data in `data/`, and the rows measured so far."""

    project: Path
    rounds: int
    start_s: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def run(self, *command: str, **variables: str) -> None:
        done = subprocess.run(
            command, cwd=self.project, capture_output=True, text=True, env=_environment() | variables
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")

    def measure(
        self, what: dict[str, Any], transfers: dict[str, Callable[[], None]], clear: Callable[[], None],
        megabytes: float, yardstick: str,
    ) -> None:  # fmt: skip
        """Time every transfer in turns; `clear` empties the place that they write to before each."""
        seconds: dict[str, list[float]] = {name: [] for name in transfers}
        for _ in range(self.rounds):
            for name, transfer in transfers.items():
                clear()
                began = time.perf_counter()
                transfer()
                seconds[name].append(time.perf_counter() - began)
        median = {name: statistics.median(values) for name, values in seconds.items()}
        for name, value in median.items():
            row = what | {"tool": name, "mb": round(megabytes, 1), "seconds": round(value, 3),
                          "mb_per_s": round(megabytes / value, 1),
                          "ratio": round(median[yardstick] / value, 3)}  # fmt: skip
            if name.startswith("dvc"):
                row["ratio_after_start"] = round(median[yardstick] / max(value - self.start_s, 1e-3), 3)
            self.rows.append(row)
            print(_LINE.format(**row), flush=True)


def over_ssh(bench: Bench, link: str, sshd: Server, megabytes: float, files: int, tunnel: bool) -> None:
    """Rows of dvc, rsync and scp, both directions; with `tunnel` also of dvc through one."""
    there, back = Path(sshd["ROOT"]), bench.project / "back"
    config, data = sshd["CONFIG"], bench.project / "data"
    shell = f"ssh -F {config}"
    addresses = {"dvc": f"{sshd['HOST']}:{sshd['PORT']}"}
    with _tunnel(sshd) if tunnel else nullcontext("") as through:
        if tunnel:
            addresses["dvc in tunnel"] = f"localhost:{through}"
        for name, address in addresses.items():
            remote = name.replace(" ", "-")
            bench.run("dvc", "remote", "add", "-q", "-f", remote, f"ssh://{address}{there}/dvc")
            bench.run("dvc", "remote", "modify", remote, "verify", "true")  # as `make remote` sets it
            bench.run("dvc", "remote", "modify", "--local", remote, "keyfile", sshd["KEY"])
        what = {"link": link, "way": "ssh", "files": files}

        def dvc(verb: str) -> dict[str, Callable[[], None]]:
            remotes = [name.replace(" ", "-") for name in addresses]
            return {name: lambda remote=remote: bench.run("dvc", verb, "-q", "-r", remote)
                    for name, remote in zip(addresses, remotes, strict=True)}  # fmt: skip

        push = dvc("push") | {
            "rsync": lambda: bench.run("rsync", "-a", "-e", shell, f"{data}/", f"droplet:{there}/rsync/"),
            "scp": lambda: bench.run("scp", "-qrF", config, str(data), f"droplet:{there}/scp"),
        }
        bench.measure(what | {"direction": "push"}, push, lambda: _empty(there), megabytes, "rsync")
        bench.run("dvc", "push", "-q", "-r", "dvc")
        push["rsync"]()
        pull = dvc("pull") | {
            "rsync": lambda: bench.run("rsync", "-a", "-e", shell, f"droplet:{there}/rsync/", f"{back}/"),
            "scp": lambda: bench.run("scp", "-qrF", config, f"droplet:{there}/rsync", str(back)),
        }
        bench.measure(what | {"direction": "pull"}, pull, lambda: _forget(bench), megabytes, "rsync")
        _empty(there)
        _restore(bench)


def over_s3(bench: Bench, link: str, s3: Server, megabytes: float) -> None:
    """Rows of dvc and rclone, both directions."""
    there, back = Path(s3["FOLDER"]), bench.project / "back"
    bench.run("dvc", "remote", "add", "-q", "-f", "s3", f"s3://{s3['BUCKET']}/dvc")
    bench.run("dvc", "remote", "modify", "s3", "endpointurl", s3["ENDPOINT"])
    bench.run("dvc", "remote", "modify", "s3", "verify", "true")
    keys = {
        "AWS_ACCESS_KEY_ID": s3["ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": s3["SECRET_ACCESS_KEY"],
        # rclone answers with a checksum of a multipart object's last part; DVC hashes what it gets anyway.
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    rclone = keys | {
        "RCLONE_CONFIG": "/dev/null", "RCLONE_S3_PROVIDER": "Rclone", "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_ENDPOINT": s3["ENDPOINT"],
    }  # fmt: skip
    far, data = f":s3:{s3['BUCKET']}/rclone", bench.project / "data"
    what = {"link": link, "way": "s3", "files": SHARDS}
    push = {"dvc": lambda: bench.run("dvc", "push", "-q", "-r", "s3", **keys),
            "rclone": lambda: bench.run("rclone", "copy", str(data), far, **rclone)}  # fmt: skip

    def clear() -> None:
        _empty(there)
        time.sleep(0.2)  # the server remembers folders for 50 ms

    bench.measure(what | {"direction": "push"}, push, clear, megabytes, "rclone")
    push["dvc"]()
    push["rclone"]()
    pull = {"dvc": lambda: bench.run("dvc", "pull", "-q", "-r", "s3", **keys),
            "rclone": lambda: bench.run("rclone", "copy", far, str(back), **rclone)}  # fmt: skip
    bench.measure(what | {"direction": "pull"}, pull, lambda: _forget(bench), megabytes, "rclone")
    _empty(there)
    _restore(bench)


def start_up(bench: Bench, sshd: Server) -> float:
    """Seconds of a push that finds everything there: Python, DVC and the connection."""
    address = f"ssh://{sshd['HOST']}:{sshd['PORT']}{sshd['ROOT']}/dvc"
    bench.run("dvc", "remote", "add", "-q", "-f", "dvc", address)
    bench.run("dvc", "remote", "modify", "--local", "dvc", "keyfile", sshd["KEY"])
    bench.run("dvc", "push", "-q", "-r", "dvc")
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        bench.run("dvc", "push", "-q", "-r", "dvc")
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def write_data(bench: Bench, megabytes: float, files: int) -> None:
    """Random bytes in `files` equal files, tracked by DVC."""
    shutil.rmtree(_kept(bench), ignore_errors=True)
    _kept(bench).mkdir()
    for number in range(files):
        (_kept(bench) / f"{number:05}.bin").write_bytes(os.urandom(int(megabytes * 1e6 / files)))
    _restore(bench)


@contextmanager
def server(name: str, folder: Path, there: tuple[str, ...] = (), **variables: str) -> Iterator[Server]:
    """A server of `services/`, started by `there` (words that run a command elsewhere)."""
    script = str(ROOT / "services" / f"{name}.sh")
    subprocess.run([script, "check"], check=True)
    try:
        started = subprocess.run(
            [*there, script, "start", str(folder)], check=True, env=_environment() | variables,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        yield dict(line.split("=", 1) for line in started.stdout.splitlines() if "=" in line)
    finally:
        subprocess.run([script, "stop", str(folder)], check=True)


@contextmanager
def _tunnel(sshd: Server) -> Iterator[str]:
    """The port of this machine that leads through OpenSSH to the server's own."""
    port = str(free_port(0))
    forward = f"127.0.0.1:{port}:{sshd['HOST']}:{sshd['PORT']}"
    process = subprocess.Popen(
        ["ssh", "-F", sshd["CONFIG"], "-N", "-o", "ExitOnForwardFailure=yes", "-L", forward, "droplet"],
        stdin=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            if listens(int(port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_", "DVC_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path)
    os.sync()  # no transfer pays for the writes of the one before


def _forget(bench: Bench) -> None:
    for folder in (".dvc/cache", "data", "back"):
        shutil.rmtree(bench.project / folder, ignore_errors=True)
    os.sync()


def _restore(bench: Bench) -> None:
    """The data and DVC's cache as `write_data` left them, from the copy that it put aside."""
    _forget(bench)
    shutil.copytree(_kept(bench), bench.project / "data")
    bench.run("dvc", "add", "-q", "data")


def _kept(bench: Bench) -> Path:
    return bench.project.with_name("kept")


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {f"{r['link']}_{r['way']}_{r['direction']}": r["ratio"]
            for r in rows if r["tool"] == "dvc" and r["files"] == SHARDS and r["mb"] > SMALL_MB}  # fmt: skip


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--quick", action="store_true", help="256 MB, one round, no tunnel on the slow link")
    parser.add_argument("--megabytes", type=float, help="size of the dataset (default 1024; quick 256)")
    parser.add_argument("--rounds", type=int, help="times everything is measured (default 3; quick 1)")
    parser.add_argument("--report", type=Path, help="also write the JSON object here")
    options = parser.parse_args()
    megabytes = options.megabytes or (256 if options.quick else 1024)
    skipped = why_not()
    with tempfile.TemporaryDirectory(prefix="transport-") as name:
        folder = Path(name)
        bench = Bench(folder / "project", options.rounds or (1 if options.quick else 3))
        bench.project.mkdir()
        bench.run("git", "init", "-q")
        bench.run("dvc", "init", "-q")
        bench.run("dvc", "config", "cache.type", "reflink,hardlink,copy")  # as the project has it
        with server("sshd", folder / "sshd") as sshd, server("s3", folder / "s3") as s3:
            write_data(bench, megabytes, SHARDS)
            bench.start_s = start_up(bench, sshd)
            print(f"start of dvc alone {bench.start_s:.2f} s", flush=True)
            over_ssh(bench, "loopback", sshd, megabytes, SHARDS, tunnel=True)
            over_s3(bench, "loopback", s3, megabytes)
        if skipped:
            print(f"no slow link here: {skipped}")
        else:
            with (
                slow_link(RATE_MBIT, DELAY_MS) as link,
                server("sshd", folder / "far", link.there, SSHD_ADDRESS=link.far) as sshd,
                server("s3", folder / "far-s3", link.there, S3_ADDRESS=link.far) as s3,
            ):
                over_ssh(bench, "1 Gbit/s", sshd, megabytes, SHARDS, tunnel=not options.quick)
                over_s3(bench, "1 Gbit/s", s3, megabytes)
        with server("sshd", folder / "sshd2") as sshd:
            for files in (SHARDS, SMALL_FILES):
                write_data(bench, SMALL_MB, files)
                over_ssh(bench, "loopback", sshd, SMALL_MB, files, tunnel=False)
    result = {
        "benchmark": "transport", "quick": options.quick, "megabytes": megabytes, "rounds": bench.rounds,
        "dvc_start_s": round(bench.start_s, 2), "slow_link_skipped": skipped, "ratios": _ratios(bench.rows),
        "rows": bench.rows, "machine": describe_machine(),
    }  # fmt: skip
    if options.report:
        write_json(options.report, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
