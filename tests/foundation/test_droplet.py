"""A rented machine: what runs cost on it, and the script that makes it ready."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.cli.main import app
from earthsignals.remotes.droplet import (
    Droplet,
    Sources,
    commands,
    public_address,
    read_sources,
    set_up,
    steps,
)
from earthsignals.remotes.openssh import parse_host
from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.cost import COURSE, run_costs, snapshot

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "droplet.sh"


def write_run(root: Path, verb: str, kind: str, wall_s: float, device_s: float, pipeline="demo") -> None:
    path = root / f"reports/{pipeline}/runs/{verb}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = {"wall_seconds": str(wall_s), "device_seconds": str(device_s)}
    tags = seconds | {"kind": kind, "device.name": "GPU X"}
    record = {
        "format_version": 1, "run_id": "a" * 32, "experiment": pipeline, "name": f"{pipeline}-{verb}",
        "status": "FINISHED", "start_ms": 0, "end_ms": 1, "params": {}, "metrics": {}, "tags": tags,
    }  # fmt: skip
    path.write_text(json.dumps(record))


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    (root / ".dvc" / "cache").mkdir(parents=True)
    (root / "params.yaml").write_text("{}")
    write_run(root, "train", "training", 7200, 5400)
    write_run(root, "evaluate", "evaluation", 1800, 0)
    write_run(root, "train", "training", 3600, 3600, pipeline="other")
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "environment"))  # the real one takes seconds to measure
    for name in [each for each in os.environ if each.startswith("EARTHSIGNALS_")]:
        monkeypatch.delenv(name)
    return root


# --- what it costs


def test_a_run_costs_its_wall_time(project):
    runs, faults = run_costs(project)
    costs = {run.stage: (run.wall_hours, run.device_hours, run.usd(2.0), run.device) for run in runs}
    assert costs["demo-train"] == (2.0, 1.5, 4.0, "GPU X")
    assert costs["demo-evaluate"] == (0.5, 0.0, 1.0, "GPU X")
    assert not faults and len(runs) == 3


def test_the_command_sums_both_ways_of_working_beside_the_course(project):
    shown = CliRunner().invoke(app, ["droplet", "cost", "--price", "1.99", "--json"])
    plain = json.loads(shown.output)
    # All three runs rented: 3.5 h; the trainings alone: 3 h.
    assert plain["ways"]["everything"]["usd"] == pytest.approx(3.5 * 1.99)
    assert plain["ways"]["hybrid"]["wall_hours"] == 3.0
    assert plain["ways"]["hybrid"]["course"]["usd"] == [4, 8]
    demo = json.loads(CliRunner().invoke(app, ["droplet", "cost", "--pipeline", "demo", "--json"]).output)
    assert demo["ways"]["everything"]["wall_hours"] == 2.5
    table = CliRunner().invoke(app, ["droplet", "cost", "--price", "1.99"]).output
    for words in ("10–20", "20–40", "2–4", "4–8", "6.96", "5.97", "0.06 USD per GB and month"):
        assert words in table


def test_the_settings_price_is_used_and_its_absence_told(project, monkeypatch):
    assert "no price is known" in CliRunner().invoke(app, ["droplet", "cost"]).output
    monkeypatch.setenv("EARTHSIGNALS_PRICE_PER_HOUR_USD", "10")
    shown = CliRunner().invoke(app, ["droplet", "cost"]).output
    assert "35.00" in shown and "no price" not in shown


def test_the_courses_columns_agree():
    # 10–20 hours for 20–40 USD and 2–4 for 4–8: both 2 USD an hour.
    for plan in COURSE.values():
        assert [usd / hours for usd, hours in zip(plan.usd, plan.gpu_hours, strict=True)] == [2.0, 2.0]


def test_damaged_records_and_pipelines_without_runs_are_named(project):
    (project / "reports/demo/runs/broken.json").write_text('{"run_id"')
    assert "broken.json" in run_costs(project)[1][0]
    missing = CliRunner().invoke(app, ["droplet", "cost", "--pipeline", "clouds"])
    assert missing.exit_code == 1


def test_a_snapshot_holds_the_cache_and_the_environment_once(project, tmp_path):
    environment = tmp_path / "env"
    environment.mkdir()
    (project / ".dvc/cache/a").write_bytes(bytes(3_000_000))
    (environment / "b").write_bytes(bytes(2_000_000))
    os.link(project / ".dvc/cache/a", project / ".dvc/cache/same")  # a hard link takes no room
    held = snapshot(project, environment)
    assert (held.data_gb, held.environment_gb) == pytest.approx((0.003, 0.002))
    assert held.usd_per_month(0.06) == pytest.approx(0.0003)
    # A cache elsewhere, as several users share one, is the one that counts.
    (project / ".dvc/config").write_text(f"[cache]\n    dir = {environment}\n")
    assert snapshot(project, environment).data_gb == pytest.approx(0.002)


# --- making it ready


def bash(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script on this machine, in a home of its own."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"} | environment
    return subprocess.run(["bash", str(SCRIPT), *words], env=plain, capture_output=True, text=True, cwd=home)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def laptop(tmp_path):
    """A clone with one commit on branch `work`; (folder, commit)."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "symbolic-ref", "HEAD", "refs/heads/work")
    return folder, commit(folder, "first")


def commit(folder: Path, name: str) -> str:
    (folder / name).write_text(name)
    git(folder, "add", name)
    git(folder, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", name)
    return git(folder, "rev-parse", "HEAD")


def test_sources_come_from_the_origin_where_it_can_be_fetched(laptop, tmp_path):
    folder, first = laptop
    made = bash(
        tmp_path, "sources", "~/there", "work", first, str(folder),
        DROPLET_NAME="N. Name", DROPLET_EMAIL="n@example.org",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    there = tmp_path / "there"
    assert git(there, "rev-parse", "HEAD") == first
    assert git(there, "symbolic-ref", "--short", "HEAD") == "work"
    assert git(there, "config", "user.name") == "N. Name"
    assert git(there, "config", "user.email") == "n@example.org"
    # So that `git pull` and `git push` know where to.
    assert git(there, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/work"
    second = commit(folder, "second")
    assert bash(tmp_path, "sources", "there", "work", second, str(folder)).returncode == 0
    assert git(there, "rev-parse", "HEAD") == second
    third = commit(folder, "third")
    git(there, "pull", "-q", "--ff-only")
    assert git(there, "rev-parse", "HEAD") == third


def test_sources_ask_for_a_push_and_never_undo_what_is_there(laptop, tmp_path):
    folder, first = laptop
    assert bash(tmp_path, "sources", "there", "work", first).returncode == 3  # nothing to fetch from
    there = tmp_path / "there"
    git(folder, "push", "-q", str(there), f"{first}:refs/remotes/laptop/work")
    assert bash(tmp_path, "sources", "there", "work", first).returncode == 0
    own = commit(there, "results")
    assert bash(tmp_path, "sources", "there", "work", first).returncode == 0
    assert git(there, "rev-parse", "HEAD") == own  # ahead: stays
    apart = commit(folder, "meanwhile")
    git(folder, "push", "-q", str(there), f"{apart}:refs/remotes/laptop/work")
    refused = bash(tmp_path, "sources", "there", "work", apart)
    assert refused.returncode == 1 and "of its own" in refused.stderr
    assert git(there, "rev-parse", "HEAD") == own


@pytest.mark.parametrize(
    ("tool", "says", "kind"),
    [
        ("nvidia-smi", "GPU 0: NVIDIA H100", "cuda"),
        ("rocm-smi", "GPU[0] : Device Name: AMD Instinct MI300X", "rocm"),
        ("lspci", "01:00.0 3D controller: NVIDIA Corporation GH100", "cuda"),
        ("lspci", "85:00.0 Processing accelerators: Advanced Micro Devices, Inc. [AMD/ATI] MI210", "rocm"),
        ("lspci", "00:02.0 VGA compatible controller: Red Hat, Inc. Virtio", "cpu"),
    ],
)
def test_the_gpu_is_known_by_its_driver_or_by_the_bus(tmp_path, tool, says, kind):
    tools = tmp_path / "tools"
    tools.mkdir()
    # Only these programs: a GPU of the machine that runs the test must not answer.
    for name in ("bash", "grep"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / tool).write_text(f"#!/bin/sh\necho '{says}'\n")
    (tools / tool).chmod(0o755)
    assert bash(tmp_path, "gpu", PATH=str(tools)).stdout.strip() == kind


def fake_environment(folder: Path, builds: list[str]) -> Path:
    """An environment whose torch is of each of `builds` in turn, after every second call of pip."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/sh\n"
        f"n=$(cat {folder}/pip 2>/dev/null | wc -l)\n"
        f'case "$*" in *torch.version*) set -- {" ".join(builds)}; shift $((n / 2)); echo "$1" ;;\n'
        f'*"-m pip"*) echo "$*" >> {folder}/pip ;;\n'
        "*doctor*) echo doctor was here ;; esac\n"
    )
    python.chmod(0o755)
    return folder


def test_the_build_of_torch_is_exchanged_for_the_gpus(tmp_path):
    clone, environment = tmp_path / "clone", fake_environment(tmp_path / "env", ["cpu", "rocm"])
    clone.mkdir()
    (clone / "requirements.lock").write_text("torchmetrics==1.9.0\ntorch==2.13.0\n")
    refused = bash(tmp_path, "build", "clone", "rocm", DROPLET_VENV=str(environment))
    assert refused.returncode == 1 and "--torch-index ADDRESS" in refused.stderr
    index = "https://example.org/rocm"
    variables = {"DROPLET_VENV": str(environment), "DROPLET_PRICE": "1.99"}
    built = bash(tmp_path, "build", "clone", "rocm", index, **variables)
    assert built.returncode == 0, built.stderr
    assert "torch: rocm build" in built.stdout and "doctor was here" in built.stdout
    asked = (environment / "pip").read_text().splitlines()
    assert all("torch==2.13.0" in line and index in line for line in asked) and len(asked) == 2
    assert (clone / "settings.yaml").read_text() == "price_per_hour_usd: 1.99\n"
    other = bash(tmp_path, "build", "clone", "rocm", index, **(variables | {"DROPLET_PRICE": "3"}))
    assert "--price 3 is not written" in other.stdout and "price_per_hour_usd: 1.99" in other.stdout
    # Again: nothing is left to exchange.
    assert bash(tmp_path, "build", "clone", "rocm", DROPLET_VENV=str(environment)).returncode == 0
    assert len((environment / "pip").read_text().splitlines()) == 2


def test_a_clone_without_commits_has_nothing_to_send(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    with pytest.raises(EarthSignalsError, match="no branch with a commit"):
        read_sources(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EarthSignalsError, match="git is not installed"):
        read_sources(tmp_path)


def test_what_is_sent_is_the_commit_and_no_secret(laptop):
    folder, first = laptop
    git(folder, "remote", "add", "origin", "https://someone:token123@example.org/x.git")
    (folder / "unsent.txt").write_text("x")
    sources = read_sources(folder)
    assert (sources.branch, sources.commit, sources.unsent) == ("work", first, 1)
    assert sources.origin == "https://example.org/x.git"
    git(folder, "remote", "set-url", "origin", "/some/folder")  # means nothing elsewhere
    assert read_sources(folder).origin is None


@pytest.mark.parametrize(
    ("origin", "public"),
    [
        ("git@example.org:group/x.git", "git@example.org:group/x.git"),
        ("example.org:x.git", "example.org:x.git"),
        ("ssh://git@example.org:2200/x.git", "ssh://git@example.org:2200/x.git"),
        ("ssh://git:secret@example.org/x.git", "ssh://git@example.org/x.git"),
        ("https://token@example.org/x.git", "https://example.org/x.git"),
        ("https://name:token@example.org:8443/x.git", "https://example.org:8443/x.git"),
        ("git://example.org/x.git", "git://example.org/x.git"),
        ("../x", None),
        ("/srv/x:y.git", None),
        ("ext::sh -c true", None),
        ("ext::sh", None),
        ("-oProxyCommand=true:x", None),
        ("file:///srv/x.git", None),
        ("", None),
    ],
)
def test_an_origin_keeps_its_user_and_loses_its_secrets(origin, public):
    assert public_address(origin) == public


def test_every_step_checks_the_hosts_key_and_quotes_its_words():
    name, email, origin = "O'Neil; reboot", "o@example.org", "https://example.org/x.git"
    sources = Sources(ROOT, "main", "c" * 40, origin, name, email, 0)
    droplet = Droplet(parse_host("root@203.0.113.7:2200"), price=1.99, torch="rocm")
    assert steps(droplet, sources)["build"] == [
        "env", "DROPLET_PRICE=1.99", "bash", "-s", "--", "build", "earthsignals", "rocm"
    ]  # fmt: skip
    lines = commands(droplet, sources)
    ssh = [line for line in lines if not line.startswith("#")]
    assert len(ssh) == 3 and all("StrictHostKeyChecking=yes" in line and "Port=2200" in line for line in ssh)
    # Our shell takes off one layer of quotes, the far one the other: the name is still one word.
    far = shlex.split(shlex.split(ssh[1].split(" < ")[0])[-1])
    assert far[:3] == ["env", "DROPLET_NAME=O'Neil; reboot", "DROPLET_EMAIL=o@example.org"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"torch_index": "https://user:secret@example.org"}, "without user or password"),
        ({"torch_index": "--find-links=/x"}, "must be an https:// address"),
        ({"torch_index": "https://example.org/a b"}, "must be an https:// address"),
        ({"torch_index": "https://[x"}, "must be an https:// address"),
        ({"torch_index": ""}, "must be an https:// address"),
        ({"folder": "a; rm -rf b"}, "cannot be the folder"),
        *(({"folder": each}, "cannot be the folder") for each in
          ("", "/", ".", "..", "~", "~/", "~/.", "a/../b", "-x", "a\n", "~root/x")),
        *(({"environment": each}, "cannot be the environment") for each in ("", "-x", "a\nb", "/", "a b")),
        *(({"price": each}, "--price is a number") for each in (float("inf"), float("nan"), -1.0)),
    ],
)
def test_unfit_options_are_refused_before_any_connection(laptop, wrong, words):
    with pytest.raises(EarthSignalsError, match=words) as refused:
        set_up(Droplet(parse_host("nowhere.invalid"), **wrong), read_sources(laptop[0]), print)
    assert "secret" not in str(refused.value)
