"""Losses against numbers computed by hand."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from earthsignals.clouds.losses import (
    Contrastive,
    Triplet,
    VarianceInvarianceCovariance,
    embedded,
    loss_of,
)
from earthsignals.clouds.params import TrainParams
from earthsignals.storage import EarthSignalsError


class Given(nn.Module):
    """Embeds each tile as the first pixels of its first row: tests write embeddings as images."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.components = components

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, : self.components]


def judged(loss, z: list, scenes: list | None = None) -> dict[str, float]:
    """The loss of embeddings (B, 3, D)."""
    z = torch.tensor(z, dtype=torch.float64).float()
    tiles = torch.zeros(*z.shape[:2], 3, 4, z.shape[2])
    tiles[:, :, 0, 0] = z
    if scenes is None:
        scenes = np.arange(2 * len(z)).reshape(-1, 2).tolist()
    found = loss(Given(z.shape[2]), (tiles, torch.tensor(scenes)))
    return {name: float(value) for name, value in found.items()}


# near 5 (3-4-5), far 1; then near 0.5, far 2
TWO = [[[0.0, 0], [3, 4], [1, 0]], [[0, 0], [0, 0.5], [2, 0]]]


def test_triplet_of_distances():
    found = judged(Triplet(margin=1.0, penalty=0.01), TWO)
    # relu(5 − 1 + 1) = 5 and relu(0.5 − 2 + 1) = 0; norms 0 + 5 + 1 and 0 + 0.5 + 2
    assert found["loss"] == pytest.approx((5 + 0.01 * 6 + 0 + 0.01 * 2.5) / 2, rel=1e-6)
    assert found["triplet_accuracy"] == 0.5


def test_triplet_of_squared_distances():
    found = judged(Triplet(margin=4.0, penalty=0.1, squared=True), TWO)
    # 25 − 1 + 4 = 28; 0.25 − 4 + 4 = 0.25
    assert found["loss"] == pytest.approx((28 + 0.6 + 0.25 + 0.25) / 2, rel=1e-6)


def test_equal_tiles_give_finite_gradients():
    """Where tiles embed alike, the root's slope is infinite: its gradient is taken as zero."""
    z = torch.zeros(2, 3, 4, requires_grad=True)
    tiles = torch.zeros(2, 3, 3, 4, 4)
    tiles[:, :, 0, 0] = z
    for loss in (Triplet(), Contrastive(), VarianceInvarianceCovariance()):
        loss(Given(4), (tiles, torch.arange(4).view(2, 2)))["loss"].backward(retain_graph=True)
        assert z.grad.isfinite().all()


ORTHOGONAL = [[[2.0, 0, 0], [5, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 3, 0], [0, 0, 7]]]
"""Anchor and neighbour in one direction, whatever their norms; all others at right angles."""


def test_contrastive_is_the_cross_entropy_of_cosines():
    found = judged(Contrastive(temperature=0.5), ORTHOGONAL)
    # positive e², negatives e⁰: the other neighbour and both distant tiles, the same for the other way
    assert found["loss"] == pytest.approx(math.log(1 + 3 * math.exp(-2)), rel=1e-6)
    assert found["triplet_accuracy"] == 0.5  # by Euclid: 3 > √5, 2 < √50


def test_tiles_of_the_querys_own_scene_are_no_negatives():
    # Both anchors from scene 0: only the two distant tiles are left as negatives.
    found = judged(Contrastive(0.5), ORTHOGONAL, [[0, 1], [0, 2]])
    assert found["loss"] == pytest.approx(math.log(1 + 2 * math.exp(-2)), rel=1e-6)
    # The second distant tile is from the first anchor's scene: that one has one negative less.
    found = judged(Contrastive(0.5), ORTHOGONAL, [[0, 1], [2, 0]])
    fewer, all_three = (math.log(1 + n * math.exp(-2)) for n in (2, 3))
    assert found["loss"] == pytest.approx((fewer + all_three) / 2, rel=1e-6)


def test_what_is_masked_has_no_gradient():
    z = torch.tensor(ORTHOGONAL) + 0.1
    z.requires_grad_()
    tiles = torch.zeros(2, 3, 3, 4, 3)
    tiles[:, :, 0, 0] = z
    loss = Contrastive(0.5)(Given(3), (tiles, torch.tensor([[0, 0], [0, 0]])))["loss"]
    loss.backward()
    assert float(loss.detach()) == 0 and z.grad.abs().max() == 0  # nothing to tell apart


def test_contrastive_looks_at_directions_alone():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5, 3, 4))
    one, other = judged(Contrastive(), z.tolist()), judged(Contrastive(), (z * 7).tolist())
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert one["loss"] != pytest.approx(judged(Contrastive(0.2), z.tolist())["loss"], rel=0.01)


def test_vicreg_terms():
    z = torch.zeros(2, 3, 2)
    z[:, 0] = torch.tensor([[0.0, 0], [2, 4]])  # anchors: variances 2 and 8, covariance 4
    z[:, 1] = torch.tensor([[0.0, 0], [0.6, 0]])  # neighbours: variances 0.18 and 0
    z[:, 2] = torch.tensor([[3.0, 1], [3, 1]])  # distant: no variance
    terms = VarianceInvarianceCovariance().terms(z)
    assert float(terms["invariance"]) == pytest.approx((1.4**2 + 4**2) / 4, rel=1e-6)
    # hinges 1 − √(variance + 1e-4): none for the anchors
    spread = (1 - math.sqrt(0.18 + 1e-4)) + 3 * (1 - 0.01)
    assert float(terms["variance"]) == pytest.approx(spread / 6, rel=1e-5)
    assert float(terms["covariance"]) == pytest.approx(2 * 4**2 / (3 * 2), rel=1e-6)


def test_vicreg_weighs_its_terms_and_bears_a_single_triplet():
    z = np.random.default_rng(1).normal(size=(6, 3, 4)).tolist()
    terms = VarianceInvarianceCovariance().terms(torch.tensor(z))
    expected = 25 * terms["invariance"] + 25 * terms["variance"] + terms["covariance"]
    assert judged(VarianceInvarianceCovariance(), z)["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert math.isfinite(judged(VarianceInvarianceCovariance(), z[:1])["loss"])


def test_stored_bytes_and_floats_are_the_same_tiles():
    stored = torch.randint(0, 256, (2, 3, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(embedded(Given(4), stored), embedded(Given(4), stored.float() / 255))
    assert torch.equal(embedded(Given(4), stored)[1, 2], stored[1, 2, 0, 0] / 255)


def test_parameters_name_the_loss_and_each_constant_counts():
    assert loss_of(TrainParams(loss="triplet", margin=2.0, penalty=0.5)) == Triplet(2.0, 0.5, False)
    assert loss_of(TrainParams(loss="triplet-squared")) == Triplet(squared=True)
    assert loss_of(TrainParams(loss="contrastive", temperature=0.3)) == Contrastive(0.3)
    assert loss_of(TrainParams(loss="vicreg")) == VarianceInvarianceCovariance()
    for name in ("triplet", "triplet-squared", "contrastive", "vicreg"):  # ranks get it pickled
        loss = loss_of(TrainParams(loss=name))
        assert pickle.loads(pickle.dumps(loss)) == loss
    with pytest.raises(EarthSignalsError, match="no loss `hinge`"):
        loss_of(TrainParams().model_copy(update={"loss": "hinge"}))
