"""The autoencoder is the linear one at first, and padding tells it nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.seismic.networks.bottleneck import Bottleneck
from earthsignals.seismic.pca import Pca
from earthsignals.seismic.train import CoefficientBatches, CoefficientLoss
from earthsignals.storage import EarthSignalsError

SHAPE = (3, 9, 12)


def images(number: int, seed: int = 0) -> torch.Tensor:
    """Smooth images of eight hidden numbers, and a little scatter."""
    random = torch.Generator().manual_seed(seed)
    pattern = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(99))
    weights = torch.rand(number, 8, generator=random)
    scatter = 0.02 * torch.randn(number, *SHAPE, generator=random)
    return (torch.einsum("nk,kcft->ncft", weights, pattern) / 8 + scatter).clamp(0, 1)


def untrained(sizes: tuple[int, ...] = (4, 8)) -> tuple[Bottleneck, Pca]:
    pca = Pca.fit(images(300).flatten(1), 12)
    network = Bottleneck(SHAPE, sizes, 12, hidden=16, dropout=0.0)
    network.start_from(pca)
    return network.eval(), pca


@pytest.mark.parametrize("size", [4, 8])
def test_untrained_it_is_principal_component_analysis(size: int) -> None:
    network, pca = untrained()
    x = images(20, seed=1)
    torch.testing.assert_close(
        network.reconstruct(x, size).flatten(1), pca.reconstruct(x, size), atol=1e-5, rtol=0
    )


def test_the_first_numbers_alone_decide_about_a_smaller_latent() -> None:
    network, _ = untrained()
    z = torch.randn(5, 8)
    changed = z.clone()
    changed[:, 4:] += 10
    torch.testing.assert_close(network.decode(z, 4), network.decode(changed, 4))
    assert (network.decode(z, 8) - network.decode(changed, 8)).abs().max() > 0.1


def test_the_loss_in_coefficients_is_the_error_of_the_image() -> None:
    """Also after the networks have learned something (here: noise), and for what no coefficient reaches."""
    network, _ = untrained()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(3)))
    x = images(16, seed=2)
    deviation = network.deviation(x)
    c = deviation @ network.basis.T
    rest = deviation.square().sum(1) - c.square().sum(1)
    found = CoefficientLoss()(network, (c, rest))
    for size in network.sizes:
        direct = (network(x, size) - x).square().mean()
        torch.testing.assert_close(found[f"mse_{size}"], direct, rtol=1e-4, atol=0)
    torch.testing.assert_close(found["loss"], (found["mse_4"] + found["mse_8"]) / 2)


def test_padding_tells_nothing_and_is_filled_with_what_the_rest_says() -> None:
    network, _ = untrained()
    x = images(6, seed=4)
    mask = torch.ones(6, 1, 1, 12)
    mask[:3, ..., 8:] = 0
    spoiled = torch.where(mask > 0, x, torch.rand(x.shape))
    torch.testing.assert_close(network.encode(x, mask), network.encode(spoiled, mask), atol=1e-4, rtol=1e-4)
    filled = network.deviation(x, mask)
    assert torch.equal(filled[3:], network.deviation(x)[3:])
    hidden = (mask[:3] == 0).expand(3, *SHAPE).flatten(1)
    left = (filled - network.deviation(x))[:3][hidden].square().mean()
    # Scatter of 0.02 remains; the mean alone would leave the variance of the patterns.
    assert left < 2 * 0.02**2 < network.deviation(x)[:3][hidden].square().mean()


def test_a_record_of_padding_alone_stays_finite() -> None:
    network, _ = untrained()
    assert bool(network.encode(images(2), torch.zeros(2, 1, 1, 12)).isfinite().all())


def test_a_size_that_was_not_trained_is_refused() -> None:
    network, _ = untrained()
    with pytest.raises(EarthSignalsError, match="latents of 4, 8 numbers, not 6"):
        network.decode(torch.zeros(1, 8), 6)
    with pytest.raises(EarthSignalsError, match="needs 12"):
        network.start_from(Pca.fit(images(6).flatten(1), 12))


def test_each_epoch_shows_one_guise_of_each_record_and_the_same_again() -> None:
    coefficients = torch.arange(3 * 50.0).view(3, 50, 1)
    batches = CoefficientBatches(coefficients, coefficients[..., 0], seed=1)
    everyone = np.arange(50)
    first, again = batches.batch(everyone, 0)[0], batches.batch(everyone, 0)[0]
    assert torch.equal(first, again)
    assert torch.equal(first.view(-1) % 50, torch.arange(50.0))
    assert set((first.view(-1) // 50).tolist()) == {0.0, 1.0, 2.0}
    assert not torch.equal(first, batches.batch(everyone, 1)[0])
    # A batch of a few shows what the batch of all shows of them.
    assert torch.equal(batches.batch(np.array([7, 3]), 0)[0], first[[7, 3]])
