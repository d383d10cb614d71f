"""The networks: shapes, the stabilised scale, the linear start and the course's size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.tdlas.filters import Scaling, basis, exponents
from earthsignals.tdlas.model import Z95, CourseNet, FilterNet


def tiny(samples: int = 128, **changes) -> FilterNet:
    options = {"channels": 2, "hidden": 8, "dropout": 0.0, "polish_steps": 2} | changes
    return FilterNet(samples, 3, [[0, 0, 0], [0, 0, 1], [1, 0, 0]], [[0, 0, 0]], **options)


def test_the_course_network_has_the_courses_24_6_million_parameters() -> None:
    """Conv 3-32-64, k5, dense 128 on 3,000 points: 480+32, 10240+64, 64*3000*128+128, 129."""
    with torch.device("meta"):
        count = sum(p.numel() for p in CourseNet(3000, 0.2).parameters())
    assert count == (3 * 32 * 5 + 32) + (32 * 64 * 5 + 64) + (64 * 3000 * 128 + 128) + 129
    assert round(count / 1e6, 1) == 24.6


@pytest.mark.parametrize("samples", [32, 64, 200, 1000, 2000])
def test_any_scan_length_gives_one_answer_per_scan(samples: int) -> None:
    model = tiny(samples).eval()
    out = model(torch.ones(5, samples), torch.full((5,), 290.0), torch.full((5,), 1.0))
    assert len(out) == 6 and all(value.shape == (5,) for value in out)


def test_ppm_and_u_are_inverse_also_below_zero() -> None:
    model = tiny()
    model.knee.fill_(9000.0)
    model.unit.fill_(3.5)
    ppm = torch.tensor([-50.0, 0.0, 1.0, 1e3, 5e4], dtype=torch.float64)
    assert torch.allclose(model.to_ppm(model.to_u(ppm)), ppm, rtol=1e-12, atol=1e-9)
    # One unit of u at zero is one unit of ppm error: the bound there.
    assert model.to_ppm(torch.tensor(1.0, dtype=torch.float64)) == pytest.approx(3.5, rel=1e-6)


def test_torch_and_numpy_agree_on_the_conditioning_polynomials() -> None:
    """The tables are solved with numpy's basis and used with torch's: they must be one."""
    scaling = Scaling((288.0, 0.95, 3000.0), (35.0, 0.15, 3000.0))
    degrees = exponents(scaling, 6)
    model = FilterNet(
        64, 2, degrees.tolist(), [[0, 0, 0]], channels=2, hidden=4, dropout=0.0, polish_steps=1
    )
    model.state_centre.copy_(torch.tensor(scaling.centre))
    model.state_half.copy_(torch.tensor(scaling.half))
    rng = np.random.default_rng(0)
    t, p, u = rng.uniform(250, 325, 9), rng.uniform(0.8, 1.1, 9), rng.uniform(-500, 8000, 9)
    scales = zip((t, p), scaling.centre[:2], scaling.half[:2], strict=True)
    gas = [torch.from_numpy((v - c) / h) for v, c, h in scales]
    ours = model._basis(gas, torch.from_numpy(u), model.exponents).numpy()
    np.testing.assert_allclose(ours, basis(scaling(t, p, u), degrees), rtol=1e-12, atol=1e-12)


def test_an_untrained_cnn_adds_nothing_to_the_linear_start() -> None:
    model = tiny().eval()
    model.start[0, 0] = 7.0
    start, _, _ = model.stabilised(torch.rand(4, 128) + 0.5, torch.full((4,), 290.0), torch.ones(4))
    assert torch.equal(start, torch.full((4,), 7.0, dtype=torch.float64))


def test_intervals_surround_the_estimate_and_95_is_wider_than_68() -> None:
    model = tiny().eval()
    model.knee.fill_(1e4)
    ppm, error, low68, high68, low95, high95 = model(
        torch.ones(3, 128), torch.full((3,), 290.0), torch.ones(3)
    )
    assert torch.all(low95 < low68) and torch.all(low68 < ppm)
    assert torch.all(ppm < high68) and torch.all(high68 < high95)
    assert torch.allclose(high95 - ppm, Z95 * error, rtol=1e-3)


def test_a_dark_scan_does_not_make_infinities() -> None:
    out = tiny().eval()(torch.zeros(1, 128), torch.tensor([290.0]), torch.tensor([1.0]))
    assert all(torch.isfinite(value).all() for value in out)
