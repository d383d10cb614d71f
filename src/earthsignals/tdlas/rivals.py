"""The baselines of an evaluation, fitted on the same scans as the network, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from earthsignals.settings import Settings
from earthsignals.tdlas.baselines import fit_pls, fit_ridge, load_linear, save_linear
from earthsignals.tdlas.bound import fit_stabiliser, forward_model
from earthsignals.tdlas.checkpoint import LoadedNet
from earthsignals.tdlas.course import load_course, train_course
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.evaluate import Rivals
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.measured import simulator_for
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.train import read_labelled

if TYPE_CHECKING:
    from earthsignals.tracking import Run


def fit_rivals(
    file: ScanFile, lines: LineList, params: TdlasParams, settings: Settings, folder: Path, *,
    resume_root: Path, run: Run | None = None,
) -> None:  # fmt: skip
    """Fit ridge, PLS and the course's CNN and write them into `folder`."""
    training, validation = read_labelled(file, "train"), read_labelled(file, "validation")
    simulator = simulator_for(file, lines, params)
    stabiliser = fit_stabiliser(forward_model(simulator))
    ridge = fit_ridge(training, validation, stabiliser, params.baselines)
    save_linear(folder / "ridge.npz", ridge)
    pls = fit_pls(training, validation, stabiliser, params.baselines)
    save_linear(folder / "pls.npz", pls)
    found = train_course(
        file, training, validation, simulator, stabiliser, params.course, settings,
        folder / "course.pt", resume_root=resume_root, run=run,
    )  # fmt: skip
    if run is not None:
        run.log_metrics({"ridge_alpha": ridge.setting, "pls_components": pls.setting, **found})


def load_rivals(net: LoadedNet, folder: Path) -> Rivals:
    """The network beside the baselines of `folder`."""
    return Rivals(
        net, load_linear(folder / "ridge.npz"), load_linear(folder / "pls.npz"),
        load_course(folder / "course.pt"),
    )  # fmt: skip
