"""Linear codes against what linear algebra says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from earthsignals.seismic.baselines import ImageBlocks, fit_baselines, row_and_column_means
from earthsignals.seismic.patch_pca import PatchPca
from earthsignals.seismic.pca import Pca
from earthsignals.seismic.spectrogram.image import Preprocessing
from earthsignals.storage import EarthSignalsError
from tests.seismic.stand_ins import SMALL, small_store


def images(count: int = 200, shape: tuple[int, ...] = (3, 12, 10), rank: int = 40) -> Tensor:
    """Images with variances that fall steeply and a flat rest, like a spectrogram and its speckle."""
    generator = torch.Generator().manual_seed(3)
    cells = int(np.prod(shape))
    weights = torch.randn(count, rank, generator=generator) * torch.logspace(0, -2, rank)
    pattern = torch.randn(rank, cells, generator=generator) / cells**0.5
    rest = 0.002 * torch.randn(count, cells, generator=generator)
    return (0.5 + weights @ pattern + rest).clamp(0, 1).view(count, *shape)


def test_pca_is_the_singular_value_decomposition() -> None:
    x = images()
    pca = Pca.fit(x, 30)
    flat = x.flatten(1).double()
    _, singular, right = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    assert torch.allclose(pca.variances, singular[:30] ** 2 / (len(x) - 1), rtol=1e-4)
    assert torch.allclose(pca.basis @ pca.basis.T, torch.eye(30), atol=1e-5)
    # The leading components are apart from each other, so they agree one by one up to their sign.
    agreement = (pca.basis[:10].double() * right[:10]).sum(1).abs()
    assert agreement.min() > 0.9999
    assert bool((pca.basis.gather(1, pca.basis.abs().argmax(1, keepdim=True)) > 0).all())


@pytest.mark.parametrize("k", [1, 8, 30])
def test_the_error_of_a_code_is_the_variance_left_out(k: int) -> None:
    """Eckart & Young: on the training images the squared error is the sum of the other eigenvalues."""
    x = images().flatten(1)
    pca = Pca.fit(x, 30)
    total = (x - x.mean(0)).double().square().sum() / (len(x) - 1)
    left = (pca.decode(pca.encode(x, k)) - x).double().square().sum() / (len(x) - 1)
    assert float(left) == pytest.approx(float(total - pca.variances[:k].sum()), rel=1e-3)


def test_smaller_codes_begin_larger_ones() -> None:
    x = images()
    pca = Pca.fit(x, 20)
    assert torch.allclose(pca.encode(x, 5), pca.encode(x)[:, :5], atol=1e-6)
    assert torch.allclose(pca.reconstruct(x, 5), pca.decode(pca.encode(x)[:, :5]).clamp(0, 1), atol=1e-6)


def test_blocks_or_one_array_give_the_same_components() -> None:
    x = images()
    whole, blocks = Pca.fit(x, 10), Pca.fit([x[:70], x[70:75], x[75:]], 10)
    assert torch.allclose(whole.basis, blocks.basis, atol=2e-4)
    assert torch.allclose(Pca.fit(x.flatten(1).numpy(), 10).basis, whole.basis, atol=2e-4)


def test_components_in_passes_leave_hardly_more_than_the_exact_ones() -> None:
    """The bound that pca.py states, where it is hardest: into a flat spectrum."""
    x = images(count=300)
    exact, passes = Pca.fit(x, 60, exact=True), Pca.fit([x[:100], x[100:]], 60, exact=False)
    total = float((x.flatten(1) - x.flatten(1).mean(0)).double().square().sum() / (len(x) - 1))
    rest = total - float(exact.variances.sum())
    assert 0 <= total - float(passes.variances.sum()) - rest < 0.005 * rest + 1e-6
    assert torch.allclose(passes.basis @ passes.basis.T, torch.eye(60), atol=1e-5)


def test_there_are_no_more_components_than_images_have() -> None:
    x = images(count=9)
    pca = Pca.fit(x, 50)
    assert len(pca) == 8
    assert torch.allclose(pca.decode(pca.encode(x)), x.flatten(1), atol=1e-4)  # all of their variance
    with pytest.raises(EarthSignalsError, match=r"code of 9 principal components.*gave 8.*curve_sizes"):
        pca.reconstruct(x, 9)
    twice = torch.cat([x[:3], x[:3]])  # six images, two directions
    assert len(Pca.fit(twice, 5)) == 2


@pytest.mark.parametrize(
    ("bad", "told"),
    [(images(count=1), "at least two images"), (images(count=4) * torch.nan, "not finite")],
)
def test_unusable_images_are_refused(bad: Tensor, told: str) -> None:
    with pytest.raises(EarthSignalsError, match=told):
        Pca.fit(bad, 2)


# --------------------------------------------------------------------------------------------- patches
def test_one_patch_of_everything_is_plain_pca() -> None:
    x = images()
    patches, plain = PatchPca.fit([x[:90], x[90:]], (1, 1)), Pca.fit(x, 20)
    for k in (3, 20):
        assert torch.allclose(patches.reconstruct(x, k).flatten(1), plain.reconstruct(x, k), atol=1e-3)


def test_a_code_of_all_numbers_restores_the_images() -> None:
    """Also where the grid does not divide the image: 12 × 10 cells by 5 × 3."""
    x = images(count=400, shape=(3, 12, 10))
    fit = PatchPca.fit([x], (5, 3))
    everything = fit.sizes()
    assert everything == 360  # one number a cell, none for what fills patches up
    assert torch.allclose(fit.reconstruct(x, everything), x, atol=1e-4)


def test_numbers_go_where_the_variance_is() -> None:
    """Of two halves, one varies a hundred times more: a small code is spent there, at any k exactly."""
    generator = torch.Generator().manual_seed(1)
    x = torch.full((100, 3, 8, 8), 0.5)
    x[..., :4] += 0.1 * torch.randn(100, 3, 8, 4, generator=generator)
    x[..., 4:] += 0.001 * torch.randn(100, 3, 8, 4, generator=generator)
    fit = PatchPca.fit([x], (1, 2))
    codes = fit.encode(x, 20)
    assert codes.shape == (100, 20)
    restored = fit.decode(codes)
    assert torch.allclose(restored[..., 4:], x[..., 4:].mean(0).expand(100, -1, -1, -1), atol=1e-6)
    left = (restored - x).square().sum(0)[..., :4].sum() / 99
    expected = fit.variances.flatten().sort(descending=True).values[20:].sum()
    assert float(left) == pytest.approx(float(expected), rel=0.01)


def test_leading_components_are_the_leading_ones() -> None:
    """In passes or from the covariance: codes of few numbers are equally near."""
    x = images(count=300)
    blocks = [x[:128], x[128:]]
    all_of_them, leading = PatchPca.fit(blocks, (2, 2)), PatchPca.fit_leading(blocks, (2, 2), 12)
    assert leading.basis.shape[2] == 12
    for k in (4, 16):
        errors = [float((fit.reconstruct(x, k) - x).square().mean()) for fit in (all_of_them, leading)]
        assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_the_grid_is_chosen_by_other_images() -> None:
    """One pattern over the whole image: coarse patches need one number for it, fine ones many."""
    generator = torch.Generator().manual_seed(2)
    pattern = torch.rand(3, 16, 16, generator=generator) - 0.5
    x = 0.5 + 0.5 * torch.randn(300, 1, 1, 1, generator=generator).clamp(-1, 1) * pattern
    fits = PatchPca.fit_grids([x[:200]], ((1, 1), (4, 4)))
    best = PatchPca.best_of(fits, x[200:], (1, 400))
    assert best[1].grid == (1, 1)
    assert 400 not in best or best[400].sizes() >= 400
    with pytest.raises(EarthSignalsError, match=r"patches of 1 × 1 give"):
        fits[1, 1].reconstruct(x, 10_000)


# ----------------------------------------------------------------------------------------- all together
def test_row_and_column_means_restore_what_is_additive() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.full((3, 7, 5), 0.4)
    additive = mean + 0.1 * (
        torch.rand(2, 3, 7, 1, generator=generator) + torch.rand(2, 3, 1, 5, generator=generator)
    )
    assert torch.allclose(row_and_column_means(additive, mean), additive, atol=1e-6)
    checkered = mean + 0.1 * torch.tensor([1.0, -1.0]).repeat(36)[:35].view(7, 5)
    assert not torch.allclose(row_and_column_means(checkered[None], mean), checkered[None], atol=1e-2)


def test_baselines_of_a_store_come_in_order() -> None:
    """Each knows more than the one before: zero, the mean, four components, sixteen components."""
    store, preprocessing = small_store(), Preprocessing.from_params(SMALL)
    train = store.rows("train")
    baselines = fit_baselines(store, train, preprocessing, (4, 16, 100_000), held_back=store.rows("dev"))
    x = ImageBlocks(store, train, preprocessing).all()
    codes = baselines.reconstruct_pca(x, (4, 16))
    errors = [
        float((x - other).square().mean())
        for other in (torch.zeros_like(x), baselines.mean, codes[4], codes[16])
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[1]
    assert len(baselines.pca) == len(train) - 1
    assert set(baselines.reconstruct_patches(x[:2], (4, 16, 5))) == {4, 16}
    assert baselines.mean_numbers == 3 * (preprocessing.shape[1] + preprocessing.shape[2] - 1)


@pytest.mark.parametrize("shape", [(3, 65, 111), (3, 129, 37)])
def test_patches_of_any_transform_can_be_fitted(shape: tuple[int, int, int]) -> None:
    """Some grids end in patches that are padding but for a row or a column, where next to nothing varies."""
    images = torch.rand(120, *shape, generator=torch.Generator().manual_seed(0))
    for grid, fit in PatchPca.fit_grids([images]).items():
        error = (fit.reconstruct_all(images, [32])[32] - images).square().mean()
        assert 0 < error < images.var() * 1.001, grid
