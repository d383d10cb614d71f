"""The forecast network: sizes of every kind, rolls, the start at zero, and the preset of older practice."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from earthsignals.superdarn.networks.blocks import DropPath
from earthsignals.superdarn.networks.pangu import Pangu3D
from earthsignals.superdarn.networks.patches import PatchEmbedding, PatchRecovery
from earthsignals.superdarn.networks.sampling import DownSample, UpSample, halved
from earthsignals.superdarn.params import NetworkParams

SMALL = NetworkParams(
    levels=4, patch_size=(2, 2, 3), embed_dim=8, num_heads=(2, 2, 2, 2), depths=(2, 2, 1, 1),
    window_size=(2, 3, 2), mlp_ratio=2.0, drop_path=0.0,
)  # fmt: skip


def awake(network: Pangu3D) -> Pangu3D:
    """The network with weights that show: the last layer starts at zero."""
    torch.manual_seed(5)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("grid", [(4, 12, 24), (5, 13, 31), (3, 7, 23), (1, 1, 61), (10, 5, 5), (2, 40, 9)])
def test_any_size_comes_out_as_it_went_in(grid, cyclic):
    """Sizes that neither patch nor window divides, a flat raster, and a box smaller than a window."""
    network = awake(Pangu3D(3, 2, grid[0], grid[1:], SMALL, cyclic=cyclic))
    x = torch.randn(2, 3, *grid, requires_grad=True)
    y = network(x)
    assert y.shape == (2, 2, *grid) and torch.isfinite(y).all()
    y.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    # Every cell is used, wherever it lies in a patch that had to be filled up.
    assert (x.grad.abs().sum((0, 1)) > 0).all()


def test_a_network_begins_with_no_correction():
    network = Pangu3D(3, 2, 4, (12, 24), SMALL, cyclic=True)
    assert (network(torch.randn(1, 3, 4, 12, 24)) == 0).all()


@pytest.mark.parametrize(
    ("columns", "window", "step"),
    [
        (48, (2, 3, 4), 24),  # 16 tokens, 8 inside; windows of 4 tokens of 2 × 3 columns
        (48, (2, 3, 99), 6),  # one window round the circle: two patches
        (60, (2, 3, 4), 60),  # 20 tokens, 10 inside: 4 does not divide 10
        (50, (2, 3, 4), 50),  # patches do not divide
    ],
)
def test_rolling_a_cyclic_input_rolls_the_output(columns, window, step):
    network = Pangu3D(3, 2, 4, (9, columns), SMALL.model_copy(update={"window_size": window}), cyclic=True)
    assert network.equivariant_columns == step
    awake(network)
    x = torch.randn(1, 3, 4, 9, columns)
    with torch.no_grad():
        y = network(x)

        def off(k: int) -> float:
            return ((network(x.roll(k, -1)) - y.roll(k, -1)).abs().max() / y.abs().max()).item()

        assert max(off(k) for k in range(0, columns, step)) < 2e-5
        if step < columns:  # half of it moves the windows, or the patches, over the field
            assert off(step // 2) > 1e-3


def test_the_default_network_of_the_default_grid():
    """Sizes of params.yaml's defaults: 5 × 10 × 30 tokens; a table per type of window, not per window."""
    params = NetworkParams()
    network = Pangu3D(4, 2, params.levels, (40, 180), params, cyclic=True)
    assert network.position.shape == (5, 10, 1, 32)
    first = network.layer1.blocks[0]
    w_z, w_y, w_x = first.windows.window
    assert first.attention.table.shape == (
        (2 * w_x - 1) * (w_z * w_y) ** 2, first.windows.types * params.num_heads[0],
    )  # fmt: skip
    assert network.parameter_count < 600_000


def test_gradient_checkpointing_changes_nothing():
    """Values and gradients to the last bit, with DropPath drawing the same samples."""
    params = SMALL.model_copy(update={"drop_path": 0.5})
    found = []
    for checkpointing in (False, True):
        network = Pangu3D(
            3, 2, 4, (9, 24), params.model_copy(update={"gradient_checkpointing": checkpointing}), cyclic=True
        )
        awake(network).train()
        torch.manual_seed(2)
        y = network(torch.randn(3, 3, 4, 9, 24))
        y.square().sum().backward()
        found.append([y, *(p.grad for p in network.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_checkpointing_keeps_less():
    """Bytes that autograd saves between forward and backward."""
    kept = []
    for checkpointing in (False, True):
        params = SMALL.model_copy(update={"gradient_checkpointing": checkpointing})
        network, saved = Pangu3D(3, 2, 4, (9, 24), params, cyclic=True), []
        keep = partial(_keep, saved)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            network(torch.randn(2, 3, 4, 9, 24))
        kept.append(sum(saved))
    assert kept[1] < kept[0] / 3


def _keep(saved, x):
    saved.append(x.nbytes)
    return x


@pytest.mark.parametrize("training", [True, False])
def test_half_precision_follows_single(training):
    """bf16 keeps eight bits: some percent after a dozen layers, with masks and without a NaN."""
    network = Pangu3D(3, 2, 5, (13, 31), SMALL, cyclic=True)
    awake(network)
    x = torch.randn(2, 3, 5, 13, 31)
    with torch.set_grad_enabled(training):
        whole = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).std() < 0.05 * whole.std()


def test_every_parameter_changes_something():
    """What the section declares is used: sizes, or what comes out."""
    x = torch.randn(2, 3, 4, 9, 24)

    def outcome(**changes):
        network = awake(Pangu3D(3, 2, 4, (9, 24), SMALL.model_copy(update=changes), cyclic=True))
        torch.manual_seed(3)
        return network.train()(x)

    base = outcome()
    assert torch.equal(base, outcome())
    for changes in (
        {"patch_size": (1, 2, 3)}, {"embed_dim": 16}, {"num_heads": (4, 2, 2, 2)}, {"depths": (1, 2, 1, 1)},
        {"window_size": (2, 3, 4)}, {"mlp_ratio": 4.0}, {"drop_path": 0.9},
    ):  # fmt: skip
        assert not torch.equal(base, outcome(**changes)), changes


def test_drop_path_keeps_the_mean_and_whole_samples():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x = torch.ones(20_000, 2, 3)
    y = drop(x)
    assert y[:, 0, 0].unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (y == y[:, :1, :1]).all()  # a sample is left out whole
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop.eval()(x), x)


def test_patches_hold_each_value_once():
    """With an orthogonal map in and its transpose out, whatever grid comes back exactly."""
    for grid, patch in (((4, 6, 9), (2, 3, 3)), ((5, 7, 11), (2, 3, 4))):
        volume = patch[0] * patch[1] * patch[2]
        for cyclic in (True, False):
            into = PatchEmbedding(1, volume, grid, patch, cyclic)
            back = PatchRecovery(volume, 1, grid, patch)
            with torch.no_grad():
                into.linear.weight.copy_(torch.eye(volume))
                into.linear.bias.zero_()
                back.linear.weight.copy_(torch.eye(volume))
                x = torch.randn(2, 1, *grid)
                assert torch.equal(back(into(x)), x)


def test_the_last_patch_of_a_cyclic_grid_sees_the_first_columns():
    into = PatchEmbedding(1, 4, (1, 1, 10), (1, 1, 4), True)
    x = torch.randn(1, 1, 1, 1, 10, requires_grad=True)
    into(x)[0, 0, 0, 2].sum().backward()
    assert (x.grad[0, 0, 0, 0].abs() > 0).tolist() == [True, True] + 6 * [False] + [True, True]


def test_sampling_crops_odd_sizes_right():
    """Token (y, x) comes back from its own neighbourhood of two by two."""
    size = (2, 5, 7)
    assert halved(size) == (2, 3, 4)
    down, up = DownSample(4, True), UpSample(4, size)
    x = torch.randn(1, *size, 4, requires_grad=True)
    y = up(down(x))
    assert y.shape == x.shape
    y[0, 1, 4, 6].square().sum().backward()
    touched = (x.grad[0].abs().sum(-1) > 0).nonzero().tolist()
    assert touched == [[1, 4, 0], [1, 4, 6]]  # the odd column's partner is the first one
