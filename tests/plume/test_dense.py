"""Dense map = sliding window = fragments = shift-and-stitch, and where it may not be asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from earthsignals.compute.seeds import philox
from earthsignals.plume.model import build
from earthsignals.plume.networks import dense, googlenet
from earthsignals.plume.networks.dense import dense_form, margins
from earthsignals.plume.networks.sliding import sliding_logits, window_logits
from earthsignals.plume.networks.stitch import shift_stitch_logits
from earthsignals.storage import EarthSignalsError

from .fragments import fragment_logits


@pytest.fixture(autouse=True)
def one_thread():
    """Many small operations: one thread is as fast, and other processes keep theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """GoogLeNets of an eighth of the channels: the same geometry at a fiftieth of the cost."""
    blocks = {name: tuple(max(2, n // 8) for n in full) for name, full in googlenet.INCEPTIONS.items()}
    widths = [sum(blocks[name][i] for i in (1, 3, 5, 6)) for name in blocks]
    inputs = [blocks["inception3a"][0], *widths]
    thinner = {name: (inputs[i], *blocks[name][1:]) for i, name in enumerate(blocks)}
    monkeypatch.setattr(googlenet, "INCEPTIONS", thinner)
    monkeypatch.setattr(googlenet, "STEM", 8)


def scene(rows: int, columns: int, window: int, index: int = 0) -> Tensor:
    """Padded scene (rows + window - 1, columns + window - 1): noise, bright blobs, padding of one value."""
    draw = philox(1, "test-dense-scene", index)
    before, after = margins(window)
    y, x = torch.meshgrid(torch.arange(float(rows)), torch.arange(float(columns)), indexing="ij")
    inner = torch.from_numpy(draw.normal(0.0, 1.0, (rows, columns))).float()
    for _ in range(1 + rows * columns // 400):
        row, column, width = draw.uniform(0, rows), draw.uniform(0, columns), draw.uniform(1, 6)
        inner += 8 * torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return nn.functional.pad(inner, (before, after, before, after), value=-0.6)


@torch.no_grad()
def awake(architecture: str, window: int, padded: Tensor) -> nn.Module:
    """A network whose every parameter and statistic matters and whose logits are about N(0, 1) here.

    Fresh networks have trivial batch statistics, saturated ones hide differences in probability.
    """
    draw = philox(2, f"test-dense-{architecture}", window)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.from_numpy(draw.uniform(low, high, like.shape)).to(like)

    torch.manual_seed(0)
    model = build(architecture, window).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5))
            module.running_var.copy_(uniform(module.running_var, 0.5, 2.0))
            module.weight.copy_(uniform(module.weight, 0.7, 1.4))
            module.bias.copy_(uniform(module.bias, -0.4, 0.4))
    rows, columns = (length - window + 1 for length in padded.shape)
    few = window_logits(model, padded, *spread(rows, columns, 8), 4)
    last = model.linear if architecture == "plumenet" else model.fc
    last.weight.div_(few.std())
    # Two classes: the difference of their biases shifts the logit.
    last.bias[-1] -= (few / few.std()).mean() - (1 - 1 / few.std()) * model.readout()[1]
    return model


def spread(rows: int, columns: int, count: int) -> tuple[Tensor, Tensor]:
    """All corners and `count` further pixels of a scene."""
    draw = philox(3, "test-dense-pixels", count)
    row, column = draw.integers(rows, size=count), draw.integers(columns, size=count)
    corners = torch.tensor([[0, 0], [0, columns - 1], [rows - 1, 0], [rows - 1, columns - 1]]).T
    picked = torch.stack([torch.from_numpy(row), torch.from_numpy(column)])
    return tuple(torch.cat([corners, picked], 1))


def assert_same(logits: Tensor, expected: Tensor) -> None:
    """The project's bar: 1e-4 in the logit, 1e-5 in probability; on logits that are neither flat nor far."""
    assert expected.std() > 0.3 and expected.abs().max() < 8
    assert (logits - expected).abs().max() <= 1e-4
    assert (logits.sigmoid() - expected.sigmoid()).abs().max() <= 1e-5


CASES = [("plumenet", 64, 37, 52, 150), ("plumenet", 256, 21, 90, 24), ("googlenet-valid", 256, 2, 9, 4)]


@pytest.mark.parametrize(("architecture", "window", "rows", "columns", "count"), CASES)
def test_dense_equals_the_sliding_window(architecture, window, rows, columns, count) -> None:
    padded = scene(rows, columns, window)
    model = awake(architecture, window, padded)
    where = spread(rows, columns, count)
    logits = dense_form(model)(padded[None, None])
    assert logits.shape == (rows, columns)
    assert_same(logits[where], window_logits(model, padded, *where, 8))


@pytest.mark.parametrize(("window", "rows", "columns"), [(64, 37, 52), (256, 21, 40)])
def test_dense_equals_the_fragments_of_the_whole_map(window: int, rows: int, columns: int) -> None:
    padded = scene(rows, columns, window)
    model = awake("plumenet", window, padded)
    expected = fragment_logits(model, padded)
    assert torch.isfinite(expected).all()
    assert_same(dense_form(model)(padded[None, None]), expected)


@pytest.mark.parametrize(
    ("architecture", "window", "rows", "columns"),
    [("plumenet", 64, 5, 7), ("plumenet", 256, 2, 3), ("googlenet-valid", 256, 1, 4)],
)
def test_in_double_precision_all_forms_agree_to_1e_10(thin, architecture, window, rows, columns) -> None:
    """What differs in single precision is rounding, not method."""
    padded = scene(rows, columns, window).double()
    model = awake(architecture, window, padded.float()).double()
    expected = sliding_logits(model, padded, 4)
    assert expected.dtype == torch.float64
    assert (dense_form(model)(padded[None, None]) - expected).abs().max() < 1e-10
    assert (fragment_logits(model, padded) - expected).abs().max() < 1e-10
    assert (shift_stitch_logits(model, padded) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("window", [64, 256])
def test_a_pixels_window_reaches_as_far_as_the_margins_say_and_no_further(window: int) -> None:
    """Pixel i sees rows i - 32 .. i + 31 (i - 128 .. i + 127): one row further on either side is unseen."""
    before, after = margins(window)
    assert (before, after) == {64: (32, 31), 256: (128, 127)}[window]
    padded = scene(5, 5, window)
    model = dense_form(awake("plumenet", window, padded))
    original = model(padded[None, None])
    pixel = 2
    for axis in (0, 1):
        for offset, seen in ((-before - 1, False), (-before, True), (after, True), (after + 1, False)):
            changed = padded.clone()
            changed.select(axis, before + pixel + offset).add_(100.0)
            difference = (model(changed[None, None]) - original).select(axis, pixel).abs()
            assert torch.all(difference > 1e-2) if seen else torch.all(difference < 1e-4)


def test_moving_the_scene_moves_the_map() -> None:
    padded = scene(30, 41, 64)
    model = dense_form(awake("plumenet", 64, padded))
    whole, moved = model(padded[None, None]), model(padded[None, None, 7:, 3:])
    assert (moved - whole[7:, 3:]).abs().max() < 1e-4 < whole.std()


@pytest.mark.parametrize("architecture", ["plumenet", "googlenet-valid"])
def test_bands_change_nothing(thin, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows may enter in bands of any height: also in some too low for a layer to answer at once."""
    padded = scene(3, 4, 256).double()
    model = dense_form(awake(architecture, 256, padded.float()).double())
    monkeypatch.setattr(dense, "BAND_BYTES", {"cpu": 0})
    in_bands = model(padded[None, None])
    monkeypatch.setattr(dense, "BAND_BYTES", {"cpu": 1 << 40})
    assert (model(padded[None, None]) - in_bands).abs().max() < 1e-12


def test_shift_and_stitch_of_a_net_without_padding_is_the_sliding_window() -> None:
    padded = scene(9, 14, 64)
    model = awake("plumenet", 64, padded)
    expected = sliding_logits(model, padded, 14)
    assert_same(shift_stitch_logits(model, padded), expected)
    where = spread(9, 14, 20)
    assert_same(window_logits(model, padded, *where, 3), expected[where])


def test_shift_and_stitch_of_the_padded_googlenet_is_exact_where_a_shift_holds_one_window(thin) -> None:
    """Of 38 columns at stride 32 the outer 6 and 6 share their shifts: there the padding differs."""
    padded = scene(1, 38, 256)
    model = awake("googlenet", 256, padded)
    difference = (shift_stitch_logits(model, padded) - sliding_logits(model, padded, 2))[0].abs()
    assert difference[6:32].max() < 1e-4
    assert difference[:6].max() > 1e-2 < difference[32:].max()


def test_shift_and_stitch_of_the_padded_googlenet_has_no_pixel_offset(thin) -> None:
    """Where no shift is exact its map is that of the sliding window up to padding, and best unshifted."""
    columns = 150
    padded = scene(1, columns, 256)
    model = awake("googlenet", 256, padded)
    stitched, expected = shift_stitch_logits(model, padded)[0], sliding_logits(model, padded, 2)[0]
    inner = slice(3, columns - 3)
    apart = {by: float((stitched.roll(-by) - expected)[inner].abs().mean()) for by in range(-3, 4)}
    assert min(apart, key=apart.get) == 0
    assert 0 < apart[0] < 0.3 * expected.std()


def test_what_has_no_exact_dense_map_says_which_modes_it_has() -> None:
    with pytest.raises(EarthSignalsError, match="--mode sliding or --mode shift-stitch"):
        dense_form(build("googlenet", 256))
    with pytest.raises(EarthSignalsError, match="no window per pixel"):
        dense_form(build("unet", 64))


def test_a_scene_smaller_than_the_window_and_a_model_in_training_are_refused() -> None:
    model = build("plumenet", 64).eval()
    small = torch.zeros(63, 80)
    for call in (
        lambda: sliding_logits(model, small, 4),
        lambda: shift_stitch_logits(model, small),
        lambda: dense_form(model)(small[None, None]),
    ):
        with pytest.raises(ValueError, match="expected 64 or more each way"):
            call()
    model.train()
    for call in (
        lambda: sliding_logits(model, torch.zeros(64, 64), 4),
        lambda: shift_stitch_logits(model, torch.zeros(64, 64)),
    ):
        with pytest.raises(ValueError, match="call model.eval"):
            call()
