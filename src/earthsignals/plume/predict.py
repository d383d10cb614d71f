"""A whole flightline's saliency map: read by blocks, written by blocks, resumed after a kill.

    model = load_model("data/plume/best_model.pt")
    path = saliency("ang20200924t211102_ch4mf_v2y1_img", model, "maps")

The map `<stem>_saliency.img` is ENVI float32: the probability of a methane plume around each pixel,
−9999 where the flightline has no measurement, in the flightline's own place and rotation.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch

from earthsignals.compute.mapping import progress
from earthsignals.plume.checkpoint import SaliencyModel
from earthsignals.plume.imagery.flightline import Flightline, open_flightline
from earthsignals.plume.saliency import mapfile
from earthsignals.plume.saliency.cog import write_cog
from earthsignals.plume.saliency.devices import inference_devices
from earthsignals.plume.saliency.mapping import map_blocks
from earthsignals.plume.saliency.modes import TILES, choose_mode, plan
from earthsignals.plume.saliency.partial import PartialMap, open_partial
from earthsignals.plume.saliency.selfcheck import SelfCheckError, check_pixels
from earthsignals.plume.saliency.strips import ArrayScene
from earthsignals.storage import EarthSignalsError, write_json

BATCH = 32
GDAL_CACHE = 32 << 20  # bytes; left alone, GDAL takes a twentieth of all memory


def saliency(
    flightline: str | Path,
    model: SaliencyModel,
    out_dir: str | Path = ".",
    *,
    devices: Sequence[int] | None = None,
    batch: int = BATCH,
    mode: str | None = None,
    band: str | int | None = None,
    self_check: int = 0,
    cog: bool = False,
    overwrite: bool = False,
    log: bool = True,
    resume_root: Path | None = None,
    block: tuple[int, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write `<stem>_saliency.img` and `.hdr` for a flightline; returns the path of the `.img`.

    devices: GPU numbers that share the work, (−1,) for the CPU, None for the setting `device`.
    batch: windows at a time, when sliding.
    mode: dense, sliding or shift-stitch; None is the fastest exact one the architecture has.
    band: name or number of the CH4 band; None is the model's own choice.
    self_check: recompute so many random pixels by sliding window and refuse the map beyond 1e-5.
    cog: also `<stem>_saliency.tif`, Cloud-Optimised.
    overwrite: map anew where the same map of the same flightline is there already.
    log: also `<stem>_saliency.json`, what was done with what, where and how long.
    resume_root: folder of unfinished maps; None is `<out_dir>/.resume`.
    block: most rows and columns that are mapped at once; None is what suits memory.
    say: is called with sentences that a user should read.

    Memory does not grow with the flightline. The map takes its name at the end, whole. A run that was
    killed goes on from its finished blocks, and ends with the same bytes as one that was not.

    Raises EarthSignalsError, before any work: flightline, devices, mode or folder cannot be used as
    they are; SelfCheckError: the map was refused, and none is left.
    """
    where, mode = inference_devices(devices), choose_mode(model, mode)
    if self_check and mode == TILES:
        raise EarthSignalsError(
            "a U-Net has no window per pixel, so there is nothing to check its map against: leave "
            "--self-check away, or use a plumenet"
        )
    if self_check and mode == "shift-stitch" and model.architecture == "googlenet":
        raise EarthSignalsError(
            "googlenet pads inside, so its shift-and-stitch map is close to the sliding window, not equal: a "
            "self-check would refuse it; leave --self-check away, or use --mode sliding"
        )
    if batch < 1 or self_check < 0:
        raise EarthSignalsError(f"--batch is {batch}, --self-check {self_check}: at least 1 and 0 are needed")
    chosen = model.preprocessing.band if band is None else band
    out = mapfile.prepare_folder(Path(out_dir))

    def reopen() -> Flightline:
        return open_flightline(flightline, chosen)

    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE), reopen() as scene:
        target = out / f"{scene.stem}{mapfile.SUFFIX}.img"
        same = mapfile.identity(scene, model, mode)
        header = mapfile.map_header(scene, model, mode, same)
        work = _Work(scene, reopen, model, mode, batch, where, self_check, say)
        if not overwrite and mapfile.is_there(target, same):
            say(f"{target} is there already, of the same flightline and model; --overwrite maps it anew")
            work.check(target, lambda: mapfile.remove(target))
            if cog and not target.with_suffix(".tif").is_file():
                write_cog(target, target.with_suffix(".tif"))
            return target
        if target.is_file() and not overwrite:
            say(f"{target} is of another image, band, model or mode, and is replaced")
        started = time.monotonic()
        blocks = plan(model, mode, scene.shape, block)
        key = mapfile.digest(same, [astuple(each) for each in blocks], _arithmetic(where[0], batch))
        folder = (resume_root or out / ".resume") / target.stem
        with open_partial(folder, scene.shape, blocks, key) as growing:
            resumed = work.fill(growing)
            checked = work.check(growing.path, growing.discard)
            growing.flush()
            mapfile.publish(growing.path, target, header, cog)
            growing.discard()
        if log:
            done = {"devices": mapfile.names(where), "seconds": round(time.monotonic() - started, 3)}
            record = mapfile.run_record(scene, model, mode, batch, same)
            write_json(target.with_suffix(".json"), record | done | resumed | checked)
    return target


@dataclass(frozen=True)
class _Work:
    """One flightline and how it is mapped; the parts of `saliency`."""

    scene: Flightline
    reopen: Callable[[], Flightline]
    model: SaliencyModel
    mode: str
    batch: int
    devices: Sequence[torch.device]
    self_check: int
    say: Callable[[str], None]

    def fill(self, growing: PartialMap) -> dict[str, int]:
        """Map the blocks that are missing; returns for the log how many pixels were not."""
        pixels = [each.shape[0] * each.shape[1] for each in growing.blocks]
        missing = growing.missing
        to_do = sum(pixels[number] for number in missing)
        resumed = sum(pixels) - to_do
        if growing.restarted:
            self.say(
                f"the unfinished map in {growing.folder} is of other input, model or settings: starting anew"
            )
        elif resumed:
            self.say(f"going on with an unfinished map: {resumed / sum(pixels):.0%} is done")
        measured = 0
        with progress(f"saliency {self.scene.stem}", to_do, "px") as bar:

            def put(number: int, values: np.ndarray) -> None:
                nonlocal measured
                measured += int(np.isfinite(values).sum())
                growing.write(number, values)
                bar.advance(pixels[number])

            map_blocks(
                self.reopen, self.model, self.mode, self.batch, growing.blocks, missing, self.devices, put
            )
        if not measured + resumed:
            self.say(f"{self.scene.path}: no pixel holds a measurement; nothing was judged, the map is empty")
        return {"pixels_resumed": resumed}

    def check(self, path: Path, refuse: Callable[[], None]) -> dict[str, float]:
        """The self check, if wished, of the map at `path`; `refuse` takes a wrong one away."""
        if not self.self_check:
            return {}
        try:
            count, difference = check_pixels(
                path, self.scene, self.model, self.self_check, self.devices[0]
            )
        except SelfCheckError:
            refuse()
            raise
        self.say(f"self check: {count} pixels by sliding window differ by {difference:.1e} at most")
        return {"self_check_pixels": count, "self_check_difference": difference}


def map_scene(
    ch4: np.ndarray,
    model: SaliencyModel,
    *,
    mode: str | None = None,
    batch: int = BATCH,
    device: torch.device | None = None,
    block: tuple[int, int] | None = None,
) -> np.ndarray:
    """Probabilities float32 (lines, samples) of a scene in memory, by the same blocks as `saliency`.

    ch4: enhancement [ppm·m] (lines, samples), NaN or infinite where invalid; NaN there in the map.
    device: None is the setting `device`; the rest as in `saliency`. Raises ValueError for another shape.
    """
    ch4 = np.asarray(ch4)
    if ch4.ndim != 2 or ch4.size == 0:
        raise ValueError(f"scene of shape {ch4.shape}, expected (lines, samples)")
    device, mode = device or inference_devices()[0], choose_mode(model, mode)
    blocks = plan(model, mode, ch4.shape, block)
    found = np.empty(ch4.shape, np.float32)

    def put(number: int, values: np.ndarray) -> None:
        where = blocks[number]
        found[where.top : where.bottom, where.left : where.right] = values

    numbers = range(len(blocks))
    map_blocks(lambda: nullcontext(ArrayScene(ch4)), model, mode, batch, blocks, numbers, [device], put)
    return found


def _arithmetic(device: torch.device, batch: int) -> list[object]:
    """What may change the last bits of a value, so that strips of one map never mix two kinds."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return [device.type, name, torch.__version__, torch.get_num_threads(), batch]
