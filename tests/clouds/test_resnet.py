"""The network is the published one by names, shapes and counts; its unpadded trunk is shared by windows."""

from __future__ import annotations

import pytest
import torch

from earthsignals.clouds.model import build
from earthsignals.clouds.networks.resnet import BLOCKS, TRUNK_STRIDE, EmbeddingNetwork, blurred
from earthsignals.clouds.networks.scattering import COUNT
from earthsignals.clouds.params import NetworkParams
from earthsignals.storage import EarthSignalsError

PUBLISHED = {"resnet18": 11_176_512, "resnet34": 21_284_672}
"""Parameters without the classifier: torchvision's 11,689,512 and 21,797,672 less 512·1000 + 1000."""


def published(architecture: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of He et al. 2016, table 1, as torchvision calls them, in its order."""

    def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}

    found: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    inner = 64
    for stage, (blocks, outer) in enumerate(zip(BLOCKS[architecture], (64, 128, 256, 512), strict=True), 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            found |= {f"{name}.conv1.weight": (outer, inner, 3, 3)} | norm(f"{name}.bn1", outer)
            found |= {f"{name}.conv2.weight": (outer, outer, 3, 3)} | norm(f"{name}.bn2", outer)
            if inner != outer:
                found |= {f"{name}.downsample.0.weight": (outer, inner, 1, 1)}
                found |= norm(f"{name}.downsample.1", outer)
            inner = outer
    return found


@pytest.mark.parametrize("padding", ["none-in-trunk", "zero"])
@pytest.mark.parametrize("architecture", BLOCKS)
def test_names_and_shapes_are_torchvisions(architecture, padding):
    network = EmbeddingNetwork(architecture, 64, padding)
    own = {n: tuple(v.shape) for n, v in network.state_dict().items() if not n.startswith("head.")}
    assert list(own.items()) == list(published(architecture).items())
    counted = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("head."))
    assert counted == PUBLISHED[architecture]


def randomised(*arguments) -> EmbeddingNetwork:
    """In evaluation mode, batch normalisation with statistics of its own: not the identity."""
    torch.manual_seed(0)
    network = EmbeddingNetwork(*arguments)
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", "bn1.weight", "bn2.weight")):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("anti_aliased", [False, True])
@pytest.mark.parametrize("architecture", BLOCKS)
def test_the_trunk_of_a_window_is_the_crop_of_the_trunk_of_the_scene(architecture, anti_aliased):
    network = randomised(architecture, 4, "none-in-trunk", anti_aliased, 8, 16)
    scene = torch.rand(1, 3, 261, 240)
    whole = network.trunk_of(scene)
    assert whole.shape[2:] == (network.trunk_window(261), network.trunk_window(240))
    size, scale = 208, whole.abs().max()
    n = network.trunk_window(size)
    for row, column in ((0, 0), (8, 32), (48, 24)):
        window = network.trunk_of(scene[..., row : row + size, column : column + size])
        assert window.shape[2:] == (n, n)
        i, j = row // TRUNK_STRIDE, column // TRUNK_STRIDE
        assert (window - whole[..., i : i + n, j : j + n]).abs().max() <= 1e-5 * scale


def test_the_published_padding_is_not_shared():
    """Why there are two: with zeros around, a window's trunk differs from the scene's crop."""
    network = randomised("resnet18", 4, "zero", False, 8, 16)
    scene = torch.rand(1, 3, 128, 128)
    window = network.trunk_of(scene[..., 32:96, 32:96])
    whole = network.trunk_of(scene)[..., 4:12, 4:12]
    assert (window - whole).abs().max() > 0.01 * whole.abs().max()


@pytest.mark.parametrize("anti_aliased", [False, True])
@pytest.mark.parametrize("architecture", BLOCKS)
def test_a_position_of_the_trunk_sees_its_receptive_field_and_no_more(architecture, anti_aliased):
    network = randomised(architecture, 4, "none-in-trunk", anti_aliased, 8, 16)
    field = network.receptive_field
    # 7, then 4 pixels per step: pool 2, layer1 two per convolution; then 8 per step
    first, second = BLOCKS[architecture][:2]
    plain = 7 + 2 * 2 + 4 * 2 * 2 * first + 4 * 2 + 8 * 2 * (2 * second - 1)
    assert field == plain + anti_aliased * (2 + 2 * 2 + 4 * 2)
    x = torch.rand(1, 3, field + 8, field + 8, requires_grad=True)
    features = network.trunk_of(x)
    assert features.shape[2:] == (2, 2)
    features[0, :, 1, 1].sum().backward()
    assert x.grad[..., :8, :].abs().max() == 0 and x.grad[..., :, :8].abs().max() == 0
    assert x.grad[..., 8:, 8:].abs().max() > 0


@pytest.mark.parametrize("padding, anti_aliased", [("zero", False), ("zero", True), ("none-in-trunk", False)])
def test_windows_are_counted_as_they_come_out(padding, anti_aliased):
    network = randomised("resnet18", 4, padding, anti_aliased, 8, 16)
    for size in (112, 127, 128, 131):
        assert network.trunk_of(torch.rand(1, 3, size, size)).shape[-1] == network.trunk_window(size)
    if padding == "zero":
        assert network.trunk_window(128) == 16  # the published stride of 8


def test_too_small_a_tile_is_refused_with_the_least_that_will_do():
    network = EmbeddingNetwork("resnet34", 4, "none-in-trunk")
    with pytest.raises(EarthSignalsError, match="tile_px to 111 or more, or take a residual"):
        network.trunk_window(110)
    with pytest.raises(EarthSignalsError, match="tile_px to 179 or more, or clouds.network.padding to zero"):
        network.trunk_window(128)
    assert network.trunk_window(179) >= 1
    with pytest.raises(EarthSignalsError, match="nothing is left of tiles of 64 pixels"):
        EmbeddingNetwork("resnet18", 4)(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("anti_aliased", [False, True])
@pytest.mark.parametrize("architecture", BLOCKS)
def test_parameters_know_the_least_tile(architecture, anti_aliased):
    """They are read without torch: what they say is held against the network."""
    for scattering, padding in ((False, "none-in-trunk"), (True, "none-in-trunk"), (True, "zero")):
        options = NetworkParams(
            architecture=architecture, width=4, padding=padding, anti_aliased=anti_aliased,
            scattering=scattering,
        )  # fmt: skip
        network, least = build(options), options.least_tile_px
        assert network.trunk_window(least) >= 1
        with pytest.raises(EarthSignalsError):
            network.trunk_window(least - 1)
    assert NetworkParams(architecture=architecture, padding="zero", scattering=False).least_tile_px == 1


def test_the_embedding_is_the_top_of_the_trunk_and_formats_agree():
    network = randomised("resnet18", 8, "none-in-trunk", False, 6, 16)
    x = torch.rand(2, 3, 128, 128)
    z = network(x)
    assert z.shape == (2, 6) and z.dtype == torch.float32
    assert torch.equal(z, network.finish(network.trunk_of(x), network.texture(x)))
    texture = torch.zeros(2, COUNT)
    assert (network.finish(network.trunk_of(x), texture) - z).abs().max() > 0.01 * z.abs().max()
    other = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(other, z, atol=1e-5 * float(z.abs().max()))


def test_gradients_keep_the_memory_format():
    """A slice in a shortcut would bring all gradients below it to the plain format, and cost their speed."""
    network = EmbeddingNetwork("resnet18", 4, "none-in-trunk", embedding=4, hidden=8)
    network.to(memory_format=torch.channels_last)
    seen = []
    for layer in (network.layer1, network.layer2):
        layer.register_full_backward_hook(lambda _, inner, outer: seen.extend([*inner, *outer]))
    network(torch.rand(4, 3, 128, 128)).square().sum().backward()
    assert len(seen) == 4
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in seen)


def test_blur_is_binomial():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 16
    row = torch.tensor([1.0, 2, 1])
    assert torch.equal(blurred(x, 0)[0, 0], row[:, None] * row)
    assert torch.equal(blurred(x, 1)[0, 0, 1:4, 1:4], row[:, None] * row)
    assert torch.equal(blurred(x, 0, stride=2), blurred(x, 0)[..., ::2, ::2])


def test_anti_aliasing_makes_the_trunk_steadier_under_shifts():
    """Zhang 2019: by one pixel, features at the same position change less."""
    x = torch.rand(4, 3, 161, 161)
    changes = []
    for anti_aliased in (False, True):
        network = randomised("resnet18", 8, "none-in-trunk", anti_aliased, 8, 16)
        one, other = network.trunk_of(x[..., :160, :160]), network.trunk_of(x[..., 1:, 1:])
        spread = (one - one.roll(1, 0)).square().mean()
        changes.append(float((one - other).square().mean() / spread))
    assert changes[1] < 0.7 * changes[0]


def test_unknown_names_are_refused():
    with pytest.raises(EarthSignalsError, match="no clouds network `resnet50`"):
        EmbeddingNetwork("resnet50")
    with pytest.raises(EarthSignalsError, match="none-in-trunk or zero"):
        EmbeddingNetwork("resnet18", padding="same")
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        EmbeddingNetwork("resnet18", 4)(torch.rand(1, 1, 128, 128))
