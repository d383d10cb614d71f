"""The networks: sizes, names, costs, what their windows and weights may be."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from earthsignals.plume.model import ARCHITECTURES, build
from earthsignals.plume.networks.dense import dense_form
from earthsignals.plume.networks.googlenet import load_srcfinder
from earthsignals.plume.networks.plumenet import ConvBlock
from earthsignals.plume.networks.sliding import window_logits
from earthsignals.storage import EarthSignalsError


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("architecture", ["plumenet", "googlenet", "googlenet-valid"])
@pytest.mark.parametrize("window", [64, 256])
def test_a_classifier_gives_one_logit_per_window(architecture: str, window: int) -> None:
    if window == 64 and architecture != "plumenet":
        with pytest.raises(EarthSignalsError, match=f"{architecture} has no window of 64 pixels"):
            build(architecture, window)
        return
    model = build(architecture, window).eval()
    assert (model.architecture, model.window) == (architecture, window)
    with torch.no_grad():
        x = torch.randn(2, 1, window, window)
        logits, features = model(x), model.features(x)
        weight, bias = model.readout()
    assert logits.shape == (2,)
    assert features.shape[2:] == (model.final, model.final)
    # `readout` is what the dense form and the stitching use instead of the last layer.
    assert torch.allclose(features.mean((2, 3)) @ weight + bias, logits, atol=1e-5)


def test_unknown_names_and_windows_are_refused_with_the_choices() -> None:
    with pytest.raises(EarthSignalsError, match="choose one of plumenet, googlenet, googlenet-valid, unet"):
        build("resnet", 64)
    with pytest.raises(EarthSignalsError, match="choose 64 or 256"):
        build("plumenet", 128)
    with pytest.raises(EarthSignalsError, match="multiple of 16"):
        build("unet", 40)


@pytest.mark.parametrize("window", [64, 256])
def test_plumenet_pools_even_maps_only_and_loses_no_row(window: int) -> None:
    """A pool of 2 on an odd map would drop a row, and the window would not be all seen."""
    sizes: list[int] = []
    model = build("plumenet", window).eval()
    for layer in model.layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    model(torch.zeros(1, 1, window, window))
    assert len(sizes) == {64: 3, 256: 4}[window]
    assert all(size % 2 == 0 for size in sizes)
    assert not any(module.padding[0] for module in model.modules() if isinstance(module, nn.Conv2d))
    assert model.stride == 2 ** len(sizes)


def test_the_maps_of_the_valid_googlenet_shrink_to_8_by_8() -> None:
    """7 x 7 at stride 2 on 256: (256 - 7) // 2 + 1 = 125; then each 3 x 3 costs two, each pool halves."""
    sizes = []
    model = build("googlenet-valid", 256).eval()
    for _, block in model.chain():
        block.register_forward_hook(lambda *arguments: sizes.append(arguments[-1].shape[-1]))
    with torch.no_grad():
        model(torch.zeros(1, 1, 256, 256))
    assert sizes == [125, 62, 62, 60, 29, 27, 25, 23, 21, 19, 17, 15, 13, 12, 10, 8]


@pytest.mark.parametrize(
    ("architecture", "window", "kilo_macs"), [("plumenet", 64, 100), ("plumenet", 256, 140)]
)
def test_cost_per_dense_pixel(architecture: str, window: int, kilo_macs: float) -> None:
    """Every tap of every convolution once per pixel."""
    chain = dense_form(build(architecture, window)).chain
    weights = [buffer for name, buffer in chain.named_buffers() if name.endswith("weight")]
    assert sum(weight.numel() for weight in weights) <= 1e3 * kilo_macs


def test_googlenet_has_the_parameters_and_the_cost_of_the_published_one() -> None:
    """Torchvision's 1000-class model has 6,624,904 parameters without its auxiliary heads.

    Here conv1 sees one channel of three, which saves 2 * 64 * 49, and fc has 2 classes of 1000, which
    saves 998 * 1025. A head has 1 x 1 convolutions to 128 channels with their normalisation, 2048 x 1024
    and 1024 x 2 layers. One tile costs 1.853 GMAC.
    """
    model = build("googlenet", 256).eval()
    body = 6_624_904 - 2 * 64 * 49 - 998 * 1025
    heads = [inputs * 128 + 2 * 128 + 2049 * 1024 + 1025 * 2 for inputs in (512, 528)]
    assert sum(p.numel() for p in model.parameters()) == body + sum(heads) == 9_929_766
    assert sum(p.numel() for p in build("googlenet-valid", 256).parameters()) == body
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 256, 256))
    assert counter.get_total_flops() / 2 == pytest.approx(1.853e9, rel=1e-3)


def test_googlenet_has_torchvisions_parameter_names() -> None:
    """59 convolution blocks of 6 tensors each, and weight and bias of 5 linear layers."""
    names = set(build("googlenet", 256).state_dict())
    assert len(names) == 59 * 6 + 5 * 2
    block = [f"bn.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    expected = {f"{part}.{n}" for part in ("conv1", "conv2", "conv3") for n in ["conv.weight", *block]}
    for number in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for branch in ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"):
            expected |= {f"inception{number}.{branch}.{n}" for n in ["conv.weight", *block]}
    for head in ("aux1", "aux2"):
        expected |= {f"{head}.conv.{n}" for n in ["conv.weight", *block]}
        expected |= {f"{head}.{layer}.{n}" for layer in ("fc1", "fc2") for n in ("weight", "bias")}
    assert names == expected | {"fc.weight", "fc.bias"}
    shapes = {name: tuple(value.shape) for name, value in build("googlenet", 256).state_dict().items()}
    assert shapes["conv1.conv.weight"] == (64, 1, 7, 7)
    assert shapes["inception3a.branch3.1.conv.weight"] == (32, 16, 3, 3)
    assert shapes["fc.weight"] == (2, 1024)
    modules = build("googlenet", 256).modules()
    assert {m.eps for m in modules if isinstance(m, nn.BatchNorm2d)} == {1e-3}


def test_auxiliary_logits_are_there_while_training_only() -> None:
    model = build("googlenet", 256).train()
    x = torch.randn(2, 1, 256, 256)
    total = model(x).sum() + 0.3 * sum(logits.sum() for logits in model.auxiliary)
    assert [logits.shape for logits in model.auxiliary] == [(2,), (2,)]
    total.backward()
    # Every weight learns from one of the three losses.
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    model.eval()
    with torch.no_grad():
        model(x)
    assert model.auxiliary == ()


@pytest.mark.parametrize("shape", [(64, 64), (32, 80), (16, 16)])
def test_the_unet_labels_every_pixel(shape: tuple[int, int]) -> None:
    with torch.no_grad():
        assert build("unet", 64).eval()(torch.randn(2, 1, *shape)).shape == (2, *shape)


def test_the_unet_refuses_a_size_it_cannot_halve_four_times() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        build("unet", 64)(torch.zeros(1, 1, 64, 72))


def test_the_unet_sees_beyond_the_pixel() -> None:
    """Deepest level: each pixel there stands for 16 x 16, so one in a corner reaches the tile's middle."""
    model = build("unet", 64).eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = model(x)
        x[0, 0, 0, 0] += 5
        changed = (model(x) - before).abs()[0] > 0
    assert changed[0, 0] and changed[20, 20]


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_initial_weights_keep_the_scale_of_what_passes(architecture: str) -> None:
    """He et al. 2015: weights of variance 2 / fan-in let no layer fade or blow up."""
    model = build(architecture, 256)
    for block in model.modules():
        if isinstance(block, ConvBlock) and block.conv.weight.numel() > 2000:
            weight = block.conv.weight
            assert weight.var().item() * weight[0].numel() == pytest.approx(2.0, rel=0.25)


@pytest.mark.parametrize(("window", "tiles"), [(64, 16), (256, 4)])
def test_a_few_steps_teach_plumenet_to_tell_blobs_from_noise(window: int, tiles: int) -> None:
    """Gradients reach every layer, and the loss of separable tiles falls well below ln 2 = 0.69."""
    model = build("plumenet", window)
    x = torch.randn(tiles, 1, window, window)
    label = torch.arange(tiles) % 2
    x[label == 1, :, window // 3 : window // 2, window // 3 : window // 2] += 4
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(12):
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), label.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    assert loss.item() < 0.2


def test_weights_lie_channels_last_and_survive_a_state_dict() -> None:
    model, twin = build("plumenet", 64).eval(), build("plumenet", 64).eval()
    plain = torch.contiguous_format  # as checkpoints store them
    state = {name: value.clone(memory_format=plain) for name, value in model.state_dict().items()}
    twin.load_state_dict(state)
    weight = twin.layers[2].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), twin(x))


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """A state dict as srcfinder's training script leaves it."""
    torch.manual_seed(5)
    return build("googlenet", 256).state_dict()


@pytest.mark.parametrize("form", ["plain", "DataParallel", "no auxiliary heads", "nested"])
def test_srcfinder_weights_are_read_in_every_form_they_come_in(tmp_path: Path, published, form: str) -> None:
    weights = dict(published)
    if form == "DataParallel":
        weights = {f"module.{name}": value for name, value in weights.items()}
    if form == "no auxiliary heads":
        weights = {name: value for name, value in weights.items() if not name.startswith("aux")}
    torch.save({"state_dict": weights, "epoch": 3} if form == "nested" else weights, tmp_path / "w.pt")
    model = load_srcfinder(tmp_path / "w.pt")
    assert not model.training
    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in published.items() if "aux" not in name)
    scene = torch.randn(256, 257)
    one = torch.zeros(1, dtype=torch.int64)
    assert torch.isfinite(window_logits(model, scene, one, one, 1)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {n: v for n, v in w.items() if n != "conv1.conv.weight"}, "lacks `conv1.conv.weight`;"),
        (lambda w: w | {"layer1.0.conv1.weight": torch.zeros(3)}, "has an unknown `layer1.0.conv1.weight`;"),
        (lambda w: w | {"conv1.conv.weight": torch.zeros(64, 3, 7, 7)}, "other shape of `conv1.conv.weight`"),
        (lambda w: {n: v for n, v in w.items() if n != "aux1.fc2.bias"}, "lacks `aux1.fc2.bias`;"),
        (lambda w: list(w.values()), "holds no state dict"),
        (lambda w: {}, "lacks `conv1.bn.bias` and 343 more"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path: Path, published, change, message: str) -> None:
    torch.save(change(published), tmp_path / "w.pt")
    with pytest.raises(EarthSignalsError, match=message):
        load_srcfinder(tmp_path / "w.pt")


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_posing_as_weights_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    torch.save({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "archive.pt")
    for name in ("bare.pt", "archive.pt", "absent.pt"):
        with pytest.raises(EarthSignalsError, match=name):
            load_srcfinder(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
