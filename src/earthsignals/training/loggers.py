"""A logger of another house beside MLflow, by Lightning's own class for it.

    with logging_to(params.train.logger, "superdarn-train", folder, values) as on_epoch:
        fit(..., on_epoch=on_epoch)

MLflow always has everything; this shows the same curves where a group already looks at them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earthsignals.storage import EarthSignalsError
from earthsignals.training.reporting import Row, metrics

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

Kind = Literal["none", "wandb", "neptune"]
PROJECT = "earthsignals"


def logger_of(kind: Kind, name: str, folder: Path, values: Mapping[str, Any] | None = None) -> Logger | None:
    """Lightning's logger of this kind; None for `none`.

    name: of the run, such as `superdarn-train`. folder: for the logger's own files. values: parameters to
    show. With WANDB_MODE=offline nothing leaves this machine: `wandb sync` sends it later.

    Raises EarthSignalsError: a package that is not installed, no key for its server, or a logger that
    Lightning no longer has.
    """
    if kind == "none":
        return None
    if kind == "neptune":
        raise EarthSignalsError(
            "logger: Lightning no longer has a logger for Neptune; set it to `wandb`, or to `none`: MLflow "
            "keeps every curve in any case"
        )
    if kind != "wandb":
        raise EarthSignalsError(f"logger: there is no `{kind}`; there are none and wandb")
    from lightning.pytorch.loggers import WandbLogger

    offline = os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        logger = WandbLogger(name=name, save_dir=folder, project=PROJECT, offline=offline)
    except ModuleNotFoundError:
        raise EarthSignalsError(
            "logger: wandb is not installed; `pip install wandb`, or set the logger to `none`"
        ) from None
    _begin(logger)
    if values:
        logger.log_hyperparams(dict(values))
    return logger


@contextmanager
def logging_to(
    kind: Kind, name: str, folder: Path, values: Mapping[str, Any] | None = None
) -> Iterator[Callable[[Row], None] | None]:
    """Yield what `fit` shall call with every epoch's row, or None; afterwards the logger is closed.

    Names are MLflow's: `train/loss`, `val/loss`, …; the step is the epoch. Raises as `logger_of`.
    """
    logger = logger_of(kind, name, folder, values)
    if logger is None:
        yield None
        return

    def on_epoch(row: Row) -> None:
        logger.log_metrics(metrics(row) | {"epoch": row["epoch"]}, step=int(row["epoch"]))

    status = 1
    try:
        yield on_epoch
        status = 0
    finally:
        logger.finalize("failed" if status else "success")
        logger.experiment.finish(exit_code=status)


def _begin(logger: Any) -> None:
    """Start the run now, where a fault can still be told in a sentence."""
    import wandb

    try:
        _ = logger.experiment
    except (wandb.errors.Error, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EarthSignalsError(
            f"logger: wandb cannot start ({reason}): give WANDB_API_KEY in the environment, or set "
            "WANDB_MODE=offline"
        ) from None
