"""What runs on the far side of `earthsignals notebook`: a shell script that starts Jupyter, or a job of it.

It reports by lines on its output and waits for the end of its input: when this side closes it, or the
connection breaks, Jupyter or the job ends. Jupyter makes its token itself, keeps it in a file of mode 0600
and listens on the loopback of its node; the token stands in no command line.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Scheduler:
    """How a batch system takes a job script on its input, ends a job and knows that one is alive."""

    submit: str
    """Prints the job's number; `$log` is where the job's output goes."""
    cancel: str
    alive: str


SCHEDULERS = {
    "slurm": Scheduler(
        'sbatch --parsable --job-name=notebook --output="$log"', "scancel", "squeue --noheader --jobs"
    ),
    "sge": Scheduler('qsub -terse -S /bin/bash -N notebook -j y -o "$log"', "qdel", "qstat -j"),
    "pbs": Scheduler('qsub -N notebook -j oe -o "$log"', "qdel", "qstat"),
}

# The folder of the state lies in the home, which login host and nodes share. Jupyter refuses to run as
# root unless told; droplets and containers often know nobody else.
_HEAD = r"""
set -u; umask 077
say() { printf '%s %s\n' "$1" "$2"; }
fail() { say error "$1"; exit 1; }
cd -- "$folder" 2>/dev/null || fail "has no folder $folder; clone the project there, or name it by --folder"
PATH="$PWD/.venv/bin:$PATH"
command -v jupyter-lab >/dev/null || fail "has no jupyter-lab in $PWD/.venv; run make setup there"
state=$(mktemp -d "$HOME/.earthsignals-notebook.XXXXXX") || fail "lets no folder be made in the home"
log=$state/log
as_root=; [ "$(id -u)" != 0 ] || as_root=--allow-root
program() {
    printf 'umask 077; cd %q; export PATH=%q JUPYTER_RUNTIME_DIR=%q\n' "$PWD" "$PATH" "$state"
    printf 'hostname >%q\n' "$state/node"
    printf 'exec jupyter-lab --no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port=0 %s\n' "$as_root"
}
"""

_ALONE = r"""
program | bash >"$log" 2>&1 & job=$!
alive() { kill -0 "$job" 2>/dev/null; }
end() { kill "$job" 2>/dev/null; wait "$job" 2>/dev/null; }
"""

_QUEUED = r"""
command -v @program >/dev/null || fail "has no command @program; is --scheduler right?"
submit() { @submit @words; }
alive() { [ -n "$(@alive "$job" 2>/dev/null)" ]; }
end() { @cancel "$job"; sleep 1; }
job=$( { echo '#!/bin/bash'; program; } | submit 2>"$state/refused") \
    || { said=$(tail -n 1 "$state/refused"); rm -rf "$state"; fail "refused the job: $said"; }
job=${job%%;*}
say job "$job"
"""

# Descriptor 3 is the connection's input: when it ends, so does all of this, even while a job waits.
_TAIL = r"""
( cat >/dev/null; kill -TERM $$ ) <&3 2>/dev/null & watch=$!
trap 'end >/dev/null 2>&1; kill $watch 2>/dev/null; rm -rf "$state"' EXIT
trap 'exit 1' HUP TERM INT PIPE
answer() { for file in "$state"/jpserver-*.json; do [ -s "$file" ] && tr -d '\n' <"$file"; done; }
while [ -z "$(answer)" ]; do
    alive || fail "ended Jupyter before it answered: $(tail -n 1 "$log" 2>/dev/null)"
    sleep 0.5
done
say node "$(cat "$state/node")"
say host "$(hostname)"
say server "$(answer)"
while alive; do sleep 2 & wait $!; done
fail "ended Jupyter; was it a time limit?"
"""


def remote_script(folder: str, scheduler: str | None, words: str) -> str:
    """What runs on the host, for bash. It reports by lines: a word, then its text.

    Args:
        folder: the project there, absolute or seen from the home.
        scheduler: a key of SCHEDULERS, or None for Jupyter on the host itself.
        words: further options of the submitting command, as one would type them.

    Raises:
        EarthSignalsError: an unknown scheduler, or words with unbalanced quotes.
    """
    place = f"folder={shlex.quote(folder.removeprefix('~/'))}"
    body = "".join(("main() {\n", place, _HEAD, _start(scheduler, words), _TAIL))
    # One function: bash has read it whole before it runs, and the rest of the input is the connection's.
    return f"{body}}}\nmain 3<&0\n"


def _start(scheduler: str | None, words: str) -> str:
    if scheduler is None:
        return _ALONE
    system = SCHEDULERS.get(scheduler)
    if system is None:
        known = ", ".join(SCHEDULERS)
        raise EarthSignalsError(f"the batch system `{scheduler}` is not known here; expected one of {known}")
    try:
        options = shlex.join(shlex.split(words))
    except ValueError as error:
        raise EarthSignalsError(f"the options of the job cannot be read ({error}): {words}") from None
    filled = _QUEUED.replace("@program", system.submit.split()[0]).replace("@submit", system.submit)
    filled = filled.replace("@alive", system.alive).replace("@cancel", system.cancel)
    return filled.replace("@words", options)
