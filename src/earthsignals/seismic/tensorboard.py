"""Curves and reconstructions for TensorBoard, where the parameters ask for them.

    tensorboard --logdir reports/seismic/tensorboard

MLflow holds every run in any case; this is for watching a training while it goes. Watching changes nothing:
images are drawn in evaluation mode without a gradient, and no random number is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = Path("reports/seismic/tensorboard")
_GAP = 4  # white pixels between panels


class TensorboardLog:
    """Called with every row of a training's history (`on_epoch` of `earthsignals.training.fit`).

    Scalars: `loss/train`, `loss/validation`, `<name>/train` and so on for further metrics, `learning_rate`.
    Images, when a network and `images` are given: `reconstruction/<n>`, three rows for E, N and Z, three
    columns for input, output and their difference (blue: too weak, red: too strong, full colour at 0.25).

    folder: of this training alone; a training that starts anew clears what an earlier one left there, a
    resumed one goes on. images: (n, 3, F, T) in [0, 1]. reconstruct: from images to images, by default the
    network itself. Use it in a `with` block, so that its file is closed.
    """

    def __init__(
        self, folder: Path, network: nn.Module | None = None, images: Tensor | None = None,
        reconstruct: Callable[[Tensor], Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.network, self.images = Path(folder), network, images
        self.reconstruct = reconstruct if reconstruct is not None else network
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> TensorboardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __call__(self, row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        writer = self._open(epoch)
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(_tag(name), value, epoch)
        if self.network is not None and self.images is not None:
            for number, panels in enumerate(self._panels()):
                writer.add_image(f"reconstruction/{number}", panels, epoch, dataformats="HWC")
        writer.flush()

    def _open(self, epoch: int) -> SummaryWriter:
        """The writer, made with the first row: only then it is known whether a training was resumed."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # seconds, for those alone who want it

            if epoch == 0:
                for old in self.folder.glob("events.out.tfevents.*"):
                    old.unlink()
            # What an interrupted training logged after its last resume point is superseded.
            self._writer = SummaryWriter(str(self.folder), purge_step=epoch)
        return self._writer

    @torch.no_grad()
    def _panels(self) -> list[np.ndarray]:
        training, device = self.network.training, next(self.network.parameters()).device
        self.network.eval()
        try:
            outputs = self.reconstruct(self.images.to(device)).float().cpu()
        finally:
            self.network.train(training)
        return [panels(x, y) for x, y in zip(self.images.numpy(), outputs.numpy(), strict=True)]


def panels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Input, output and difference of images (3, F, T), low frequencies below: (H, W, 3) uint8."""
    difference = 0.5 + 2 * (y - x)
    columns = [
        np.vstack([_framed(component, colours) for component in image])
        for image, colours in ((x, "viridis"), (y, "viridis"), (difference, "RdBu_r"))
    ]
    return np.hstack(columns)


def _framed(values: np.ndarray, colours: str) -> np.ndarray:
    image = np.uint8(np.round(255 * matplotlib.colormaps[colours](values)[::-1, :, :3]))
    return np.pad(image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def _tag(name: str) -> str:
    """`train_loss` is shown beside `validation_loss`, as `loss/train`."""
    split, _, metric = name.partition("_")
    return f"{metric}/{split}" if split in ("train", "validation") and metric else name
