"""What trains the embedding: losses over triplets of tiles.

Each is called as `loss(model, batch)`, batch = (tiles, scenes). tiles: (B, 3, 3, P, P), of role (anchor,
neighbour, distant) and band, float32 in [0, 1] or uint8. scenes: (B, 2) int64, numbers of the anchor's scene,
which is the neighbour's too, and of the distant tile's. The result has `loss` and `triplet_accuracy`, the
share of triplets whose neighbour is nearer to the anchor than the distant tile is, by Euclid's distance.

All roles pass through the network together, so batch normalisation sees one population. Distances are of the
network's output as it is stored and judged, of any norm; `Contrastive` alone looks at directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from earthsignals.clouds.params import TrainParams
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Triplet:
    """Mean of relu(√d_near − √d_far + margin) + penalty·Σ‖z‖, d squared distances, the sum over the roles.

    squared: of d instead of √d. The penalty keeps embeddings from growing until no margin counts.
    """

    margin: float = 1.0
    penalty: float = 0.01
    squared: bool = False

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        z = embedded(model, batch[0])
        near, far = distances(z)
        accuracy = (near < far).float().mean().detach()
        if self.squared:
            near, far = near.square(), far.square()
        hinge = torch.relu(near - far + self.margin)
        return {
            "loss": (hinge + self.penalty * torch.linalg.vector_norm(z, dim=2).sum(1)).mean(),
            "triplet_accuracy": accuracy,
        }


@dataclass(frozen=True)
class Contrastive:
    """InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4) of cosines over `temperature`, both ways.

    An anchor has to find its neighbour among the batch's neighbours and distant tiles, a neighbour its anchor
    among anchors and distant tiles. Tiles of the query's own scene are no negatives: they look alike because
    they are. With several ranks the batch is a rank's share: there are fewer negatives, not others.
    """

    temperature: float = 0.1

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        tiles, scenes = batch
        z = embedded(model, tiles)
        anchors, neighbours, distant = normalize(z, dim=2).unbind(1)
        allowed = _negatives(scenes)
        loss = sum(
            self._finding(query, torch.cat([others, distant]), allowed)
            for query, others in ((anchors, neighbours), (neighbours, anchors))
        )
        return {"loss": loss / 2, "triplet_accuracy": triplet_accuracy(z)}

    def _finding(self, query: Tensor, candidates: Tensor, allowed: Tensor) -> Tensor:
        logits = (query @ candidates.T / self.temperature).masked_fill(~allowed, -torch.inf)
        return cross_entropy(logits, torch.arange(len(query), device=query.device))


@dataclass(frozen=True)
class VarianceInvarianceCovariance:
    """VICReg (Bardes, Ponce & LeCun 2022, arXiv:2105.04906, eqs. 1–6) of anchors and neighbours.

    invariance: mean squared difference of anchor and neighbour. variance: mean over components of
    relu(1 − standard deviation in the batch). covariance: squared off-diagonal covariances, summed, over D.
    Distant tiles take part in the latter two: they tell what tiles there are.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        z = embedded(model, batch[0])
        terms = self.terms(z)
        loss = sum(getattr(self, name) * term for name, term in terms.items())
        return {"loss": loss, "triplet_accuracy": triplet_accuracy(z)}

    def terms(self, z: Tensor) -> dict[str, Tensor]:
        """The three terms, not yet weighted, of embeddings (B, 3, D)."""
        size, roles, components = z.shape
        centred = z - z.mean(0)
        covariance = torch.einsum("brd,bre->rde", centred, centred) / max(1, size - 1)
        variance = covariance.diagonal(dim1=1, dim2=2)
        # The root's slope is infinite at zero: 1e-4 as in the paper.
        spread = torch.relu(1 - (variance + 1e-4).sqrt())
        off = covariance.square().sum((1, 2)) - variance.square().sum(1)
        return {
            "invariance": (z[:, 0] - z[:, 1]).square().mean(),
            "variance": spread.mean(),
            "covariance": off.sum() / (roles * components),
        }


Loss = Triplet | Contrastive | VarianceInvarianceCovariance


def loss_of(params: TrainParams) -> Loss:
    """The loss that `params.loss` names, with its constants.

    Raises EarthSignalsError for a name that is none.
    """
    if params.loss in ("triplet", "triplet-squared"):
        return Triplet(params.margin, params.penalty, params.loss == "triplet-squared")
    if params.loss == "contrastive":
        return Contrastive(params.temperature)
    if params.loss == "vicreg":
        return VarianceInvarianceCovariance()
    raise EarthSignalsError(
        f"there is no loss `{params.loss}`: set clouds.train.loss to contrastive, vicreg, triplet or "
        "triplet-squared"
    )


def embedded(model: nn.Module, tiles: Tensor) -> Tensor:
    """Embeddings (B, 3, D) float32 of tiles (B, 3, 3, P, P), uint8 or float in [0, 1]."""
    if tiles.dtype == torch.uint8:
        tiles = tiles.float() / 255
    return model(tiles.flatten(0, 1)).float().unflatten(0, tiles.shape[:2])


def distances(z: Tensor) -> tuple[Tensor, Tensor]:
    """Euclid's distances (B,) from anchor to neighbour and to distant tile, of embeddings (B, 3, D)."""
    near, far = (torch.linalg.vector_norm(z[:, 0] - z[:, role], dim=1) for role in (1, 2))
    return near, far


def triplet_accuracy(z: Tensor) -> Tensor:
    """Share of triplets (B, 3, D) whose neighbour is the nearer one; ties do not count."""
    near, far = distances(z.detach())
    return (near < far).float().mean()


def _negatives(scenes: Tensor) -> Tensor:
    """Which of 2B candidates (partners, then distant tiles) each of B queries is compared with: (B, 2B) bool.

    Its own partner always, else those of other scenes.
    """
    own, distant = scenes.unbind(1)
    other = own[:, None] != torch.cat([own, distant])[None]
    partner = torch.eye(len(own), 2 * len(own), dtype=torch.bool, device=scenes.device)
    return other | partner
