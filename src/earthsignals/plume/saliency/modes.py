"""How a padded block becomes logits: dense, sliding, shift-stitch, and the U-Net's tiles.

`dense` and `sliding` are the same map, hundreds of times apart in cost. `shift-stitch` is the same map too
for networks without padding; for googlenet it is close to it, and depends a little on how the scene is cut.
A U-Net has no window per pixel. It labels fixed tiles of 256 × 256 pixels, of which the inner 192 × 192
are kept: the same scene gives the same map, but no sliding window to compare it with.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch.nn.functional import pad

from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.networks.dense import dense_form, margins
from earthsignals.plume.networks.sliding import sliding_logits
from earthsignals.plume.networks.stitch import shift_stitch_logits
from earthsignals.plume.saliency.strips import Block, cut, cut_evenly
from earthsignals.storage import EarthSignalsError

MODES = ("dense", "sliding", "shift-stitch")
TILES = "tiles"  # of a U-Net, which has no other mode
DEFAULTS = {"googlenet": "sliding", "unet": TILES}  # of the rest: dense

CORE, OVERLAP = 192, 32  # pixels of a U-Net's tile that are kept, and around them on each side
# Rows and columns of a block without its halo. Columns keep memory low: the dense form holds some bands
# of rows, 0.1 MB per column for plumenet and 1.5 MB for googlenet-valid on a CPU, so that no block takes
# more than 1 GB and 2.5 GB in all. Rows are the steps of progress, of resume, and what several GPUs share:
# few enough for that, and many enough that their halo costs little.
BLOCK = {"plumenet": (512, 4096), "googlenet-valid": (512, 1024)}
STITCH_BLOCK = (1024, 1024)
SLIDING_PIXELS = 4096

Logits = Callable[[np.ndarray], np.ndarray]


def choose_mode(model: SaliencyModel, asked: str | None) -> str:
    """The mode asked for, or the fastest exact one of the model's architecture.

    Raises EarthSignalsError for an unknown mode or one that the architecture does not have.
    """
    own = DEFAULTS.get(model.architecture, "dense")
    if asked is None or asked == own:
        return own
    if asked not in MODES:
        raise EarthSignalsError(f"there is no mode `{asked}`: choose one of {', '.join(MODES)}")
    if own == TILES or asked == "dense":
        dense_form(model.network)  # says which modes there are instead
    return asked


def halo_of(model: SaliencyModel, mode: str) -> tuple[int, int]:
    """(before, after) pixels around a block that its map needs."""
    return (OVERLAP, OVERLAP) if mode == TILES else margins(model.window)


def plan(
    model: SaliencyModel, mode: str, shape: tuple[int, int], block: tuple[int, int] | None = None
) -> list[Block]:
    """The blocks in which a scene is mapped, the same on every device.

    block: most rows and columns of one, instead of what memory allows; a U-Net's tiles are fixed.
    """
    if mode == TILES:
        return cut(shape, CORE, CORE)
    if block is not None:
        return cut_evenly(shape, *block)
    if mode == "sliding":  # whole rows: batches are filled along them
        return cut(shape, max(SLIDING_PIXELS // shape[1], 1), shape[1])
    return cut_evenly(shape, *(BLOCK[model.architecture] if mode == "dense" else STITCH_BLOCK))


def block_logits(model: SaliencyModel, mode: str, batch: int, device: torch.device) -> Logits:
    """A function from a padded block (h + halo, w + halo) to its logits float32 (h, w), on `device`.

    It holds a copy of the network, so that each device has its own. batch: windows at a time when sliding.
    """
    network = dense_form(model.network) if mode == "dense" else deepcopy(model.network)
    network = network.to(device).eval()

    @torch.inference_mode()
    def run(padded: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(padded).to(device)
        if mode == "dense":
            logits = network(image[None, None])
        elif mode == "sliding":
            logits = sliding_logits(network, image, batch)
        elif mode == "shift-stitch":
            logits = shift_stitch_logits(network, image)
        else:
            logits = _tile_logits(network, image, model.preprocessing.fill)
        return logits.float().cpu().numpy()

    return run


def _tile_logits(network: torch.nn.Module, image: torch.Tensor, fill: float) -> torch.Tensor:
    """Logits of a tile's core; a tile at the edge of the scene is filled up to the full size."""
    height, width = (side - 2 * OVERLAP for side in image.shape)
    full = pad(image, (0, CORE - width, 0, CORE - height), value=fill)
    inner = network(full[None, None])[0, OVERLAP:-OVERLAP, OVERLAP:-OVERLAP]
    return inner[:height, :width]
