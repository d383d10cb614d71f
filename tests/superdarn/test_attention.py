"""Attention in windows: who attends to whom, which bias a pair gets, and that both formulae are one."""

from __future__ import annotations

import itertools

import pytest
import torch

from earthsignals.superdarn.networks.attention import EarthAttention3D, attention, bias_index
from earthsignals.superdarn.networks.blocks import EarthBlock
from earthsignals.superdarn.networks.windows import windows_of

SIZES = [
    ((4, 6, 12), (2, 3, 4)),  # all divide
    ((5, 7, 11), (2, 3, 4)),  # none divides
    ((1, 1, 13), (5, 5, 6)),  # a flat raster
    ((3, 4, 5), (3, 4, 5)),  # one window
    ((3, 5, 7), (9, 9, 9)),  # windows larger than the box
]


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_reverse_gives_back_what_partition_was_given(size, window, shifted, cyclic):
    windows = windows_of(size, window, shifted=shifted, cyclic=cyclic)
    x = torch.randn(2, *size, 3)
    parts = windows.partition(x)
    assert parts.shape == (2, windows.counts[2], windows.types, windows.tokens, 3)
    assert torch.equal(windows.reverse(parts), x)


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_tokens_attend_to_neighbours_alone(size, window, shifted, cyclic):
    """Two tokens that may attend to one another are less than a window apart along every axis, counted round
    the circle where there is one and straight elsewhere; and no token attends to what only fills up."""
    windows = windows_of(size, window, shifted=shifted, cyclic=cyclic)
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij"), -1).float() + 1
    parts = windows.partition(places[None])[0]  # zeros are filling
    allowed = windows.allowed()
    if allowed is None:
        allowed = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    shape = (windows.counts[2], windows.types, windows.tokens, windows.tokens)
    allowed = allowed.expand(shape)
    real = (parts > 0).all(-1)
    query, key = parts[..., :, None, :].expand(*shape, 3), parts[..., None, :, :].expand(*shape, 3)
    both = allowed & real[..., :, None]
    assert (key[both] > 0).all()
    apart = (query - key).abs()[both]
    if cyclic:
        apart[:, 2] = torch.minimum(apart[:, 2], size[2] - apart[:, 2])
    assert (apart < torch.tensor(windows.window)).all()
    assert allowed.diagonal(dim1=-2, dim2=-1).all()  # no row is masked whole, which would give NaN


def test_a_cyclic_longitude_is_no_edge():
    """The last column's token sees the first one's, in shifted windows that divide the circle and in
    unshifted ones that do not; where the longitude ends, it never does."""
    for size, shifted, cyclic, meets in (
        (12, True, True, True), (12, False, True, False), (12, True, False, False),
        (15, False, True, True), (15, True, False, False),
    ):  # fmt: skip
        block = EarthBlock(
            8, 2, (1, 1, size), (1, 1, 6), mlp_ratio=2, drop_path=0, shifted=shifted, cyclic=cyclic
        )
        x = torch.randn(1, 1, 1, size, 8, requires_grad=True)
        block(x)[0, 0, 0, -1, 0].backward()
        assert bool(x.grad[0, 0, 0, 0].abs().sum() > 0) == meets


def test_shifted_cyclic_windows_carry_no_mask_in_longitude():
    assert windows_of((2, 3, 12), (2, 3, 4), shifted=True, cyclic=True).allowed() is None
    mask = windows_of((2, 6, 12), (2, 3, 4), shifted=True, cyclic=True).allowed()
    assert mask.shape == (1, 2, 24, 24)
    assert mask[0, 0].all() and not mask[0, 1].all()  # the second window in latitude wraps
    assert windows_of((2, 6, 12), (2, 3, 4), shifted=True, cyclic=False).allowed().shape == (3, 2, 24, 24)


def test_the_bias_is_absolute_in_level_and_latitude_and_relative_in_longitude():
    windows = windows_of((2, 3, 8), (2, 3, 4), shifted=False, cyclic=True)
    index = bias_index(windows)
    tokens = list(itertools.product(range(2), range(3), range(4)))
    keys = {}
    for (i, (z1, y1, x1)), (j, (z2, y2, x2)) in itertools.product(enumerate(tokens), repeat=2):
        keys.setdefault((z1, z2, y1, y2, x1 - x2), set()).add(int(index[i, j]))
    assert all(len(rows) == 1 for rows in keys.values())  # equal pairs share a row
    assert len({next(iter(rows)) for rows in keys.values()}) == len(keys)  # others never do
    assert len(keys) == 7 * 4 * 9 == index.max() + 1  # and every row of the table is used


def test_a_window_round_the_circle_counts_longitudes_round_it():
    index = bias_index(windows_of((1, 1, 5), (1, 1, 6), shifted=True, cyclic=True))
    assert all(torch.equal(index, index.roll((k, k), (0, 1))) for k in range(5))


def test_the_table_is_shared_by_windows_across_and_never_stored_expanded():
    narrow, wide = (
        EarthAttention3D(8, 2, windows_of((2, 6, columns), (2, 3, 4), shifted=True, cyclic=True))
        for columns in (8, 80)
    )
    count = 7 * (2 * 3) ** 2 * 2 * 2  # differences × pairs × windows in latitude × heads
    assert narrow.table.numel() == wide.table.numel() == count
    assert set(wide.state_dict()) == {"table", "qkv.weight", "qkv.bias", "out.weight", "out.bias"}
    assert wide.bias().shape == (1, 2, 2, 24, 24)


def one_by_one(module: EarthAttention3D, x: torch.Tensor) -> torch.Tensor:
    """The same by its definition: token by token over the box, no windows laid out, no index, no mask."""
    windows, heads = module.windows, module.heads
    (n_z, n_y, n_x), (w_z, w_y, w_x), shift = windows.size, windows.window, windows.shift
    dim = x.shape[-1] // heads
    qkv = module.qkv(x[0]).view(n_z, n_y, n_x, 3, heads, dim)
    out = torch.zeros(n_z, n_y, n_x, heads * dim)
    table = module.table.view(w_z, w_z, w_y, w_y, 2 * w_x - 1, windows.types, heads)

    def members(n: int, w: int, s: int, at: int) -> tuple[int, list[int]]:
        """The window of a place along an axis that ends, and the places in it, in order."""
        padded = -(-n // w) * w
        number = (at - s) % padded // w
        places = [(number * w + i + s) for i in range(w)]
        wrapped = at < s
        return number, [p % padded for p in places if p % padded < n and (p >= padded) == wrapped]

    for z, y, x_ in itertools.product(range(n_z), range(n_y), range(n_x)):
        n_window_z, zs = members(n_z, w_z, shift[0], z)
        n_window_y, ys = members(n_y, w_y, shift[1], y)
        kind = n_window_z * windows.counts[1] + n_window_y
        first = (x_ - shift[2]) % n_x // w_x * w_x
        own = (x_ - shift[2]) % n_x - first
        for head in range(heads):
            scores, values = [], []
            for z2, y2, i in itertools.product(zs, ys, range(w_x)):
                x2 = (first + i + shift[2]) % n_x
                at = [(p - s) % (-(-n // w) * w) % w for p, n, w, s in zip(
                    (z, y, z2, y2), (n_z, n_y) * 2, (w_z, w_y) * 2, shift[:2] * 2, strict=True)]  # fmt: skip
                apart = (own - i) % w_x if windows.circle else own - i + w_x - 1
                bias = table[at[0], at[2], at[1], at[3], apart, kind, head]
                scores.append(qkv[z, y, x_, 0, head] @ qkv[z2, y2, x2, 1, head] / dim**0.5 + bias)
                values.append(qkv[z2, y2, x2, 2, head])
            mean = torch.softmax(torch.stack(scores), 0) @ torch.stack(values)
            out[z, y, x_, head * dim : (head + 1) * dim] = mean
    return module.out(out)[None]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("size", "window"), [((2, 4, 6), (2, 2, 3)), ((3, 5, 7), (2, 3, 4))])
def test_attention_equals_its_definition_token_by_token(size, window, shifted):
    """Levels, latitude and longitude of different sizes: axes swapped anywhere would show."""
    torch.manual_seed(0)
    windows = windows_of(size, window, shifted=shifted, cyclic=True)
    module = EarthAttention3D(4, 2, windows)
    torch.nn.init.normal_(module.table)
    x = torch.randn(1, *size, 4)
    with torch.no_grad():
        assert torch.allclose(windows.reverse(module(windows.partition(x))), one_by_one(module, x), atol=1e-5)


@pytest.mark.parametrize("cyclic", [True, False])
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_explicit_and_fused_attention_agree(size, window, cyclic):
    """Values and all gradients, within 1e-5, with masks and without."""
    torch.manual_seed(1)
    windows = windows_of(size, window, shifted=True, cyclic=cyclic)
    module = EarthAttention3D(8, 2, windows)
    torch.nn.init.normal_(module.table)
    x = torch.randn(2, *size, 8)
    found = []
    for module.explicit in (True, False):
        module.zero_grad()
        own = x.clone().requires_grad_()
        y = module(windows.partition(own))
        y.square().sum().backward()
        found.append([y, own.grad, *(p.grad.clone() for p in module.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5 * max(1.0, one.abs().max().item()))


def test_explicit_where_a_gradient_is_wanted_on_the_cpu(monkeypatch):
    """Training takes the explicit formula, inference the fused one."""
    import earthsignals.superdarn.networks.attention as module_under_test

    taken = []
    for name in ("attention", "scaled_dot_product_attention"):
        real = getattr(module_under_test, name)
        monkeypatch.setattr(
            module_under_test, name,
            lambda *a, _real=real, _name=name, **k: taken.append(_name) or _real(*a, **k),
        )  # fmt: skip
    windows = windows_of((2, 2, 4), (2, 2, 2), shifted=False, cyclic=True)
    module, x = EarthAttention3D(4, 2, windows), torch.randn(1, 2, 2, 4, 4)
    module(windows.partition(x))
    with torch.no_grad():
        module(windows.partition(x))
    assert taken == ["attention", "scaled_dot_product_attention"]


def test_attention_without_scores_is_the_mean():
    """Equal scores weigh all values alike."""
    v = torch.randn(1, 1, 6, 3)
    y = attention(torch.zeros(1, 1, 6, 3), torch.randn(1, 1, 6, 3), v, torch.zeros(1, 1, 6, 6), 1.0)
    assert torch.allclose(y, v.mean(2, keepdim=True).expand_as(y), atol=1e-6)
