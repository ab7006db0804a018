from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sa_study.model.attention import ATTENTION_KINDS, spatial_attention
from sa_study.utils.errors import ConfigError

WEIGHTED = ("mean", "softmax")


def random_map(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def by_position(x: Tensor, kind: str) -> Tensor:
    """The definition, one position of one image at a time, in float64."""
    out = torch.zeros_like(x, dtype=torch.float64)
    for image, result in zip(x.double(), out, strict=True):
        places = [(row, column) for row in range(x.shape[2]) for column in range(x.shape[3])]
        if kind == "mean":
            share = {(r, c): image[:, r, c].mean() for r, c in places}
        else:
            share = {(r, c): image[:, r, c].sum().exp() for r, c in places}
        total = sum(share.values(), torch.zeros(()))
        for r, c in places:
            result[:, r, c] = image[:, r, c] * share[r, c] / total
    return out


@pytest.mark.parametrize("kind", WEIGHTED)
def test_is_the_definition_written_out(kind: str) -> None:
    x = random_map(3, 5, 4, 2)
    torch.testing.assert_close(
        spatial_attention(x, kind).double(), by_position(x, kind), rtol=1e-5, atol=1e-7
    )


def test_none_returns_the_map_itself() -> None:
    x = random_map(2, 3, 4, 5)
    assert spatial_attention(x, "none") is x


@pytest.mark.parametrize("kind", WEIGHTED)
def test_constant_map_is_divided_by_its_positions(kind: str) -> None:
    x = torch.full((2, 3, 6, 4), 0.7)
    torch.testing.assert_close(spatial_attention(x, kind), x / 24)


@pytest.mark.parametrize("kind", WEIGHTED)
def test_average_pooling_gives_the_weighted_mean_over_the_number_of_positions(kind: str) -> None:
    x = random_map(2, 8, 6, 4, dtype=torch.float64)
    score = x.mean(1) if kind == "mean" else x.sum(1).exp()
    weighted_mean = torch.einsum("nchw,nhw->nc", x, score) / score.sum((1, 2)).unsqueeze(1)
    torch.testing.assert_close(spatial_attention(x, kind).mean((2, 3)), weighted_mean / 24)


def test_one_active_position_keeps_its_value() -> None:
    x = torch.zeros(1, 3, 4, 4)
    x[0, :, 2, 1] = torch.tensor([1.0, 2.0, 6.0])
    torch.testing.assert_close(spatial_attention(x, "mean"), x)


def test_images_of_a_batch_do_not_mix() -> None:
    x = random_map(2, 3, 4, 4) * torch.tensor([1.0, 1000.0]).view(2, 1, 1, 1)
    for kind in WEIGHTED:
        alone = torch.cat([spatial_attention(image, kind) for image in torch.split(x, 1)])
        torch.testing.assert_close(spatial_attention(x, kind), alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("kind", ATTENTION_KINDS)
def test_zero_map_gives_zero_and_finite_gradients(kind: str, autocast: bool, dtype: torch.dtype) -> None:
    x = random_map(3, 4, 5, 2, dtype=dtype)
    x[1] = 0
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = spatial_attention(x, kind)
        torch.autograd.backward(out.float().square().sum() + out.float().sum())
    assert out.dtype == dtype
    assert out[1].count_nonzero() == 0
    assert out[0].count_nonzero() > 0
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_mean_weights_do_not_depend_on_the_scale(size: float) -> None:
    x = random_map(1, 2, 3, 3)
    torch.testing.assert_close(spatial_attention(x * size, "mean") / size, spatial_attention(x, "mean"))


@pytest.mark.parametrize("size", [1e-42, 1e-38, 1e-30, 1e30])
def test_tiny_and_huge_maps_stay_finite(size: float) -> None:
    x = (random_map(1, 2, 3, 3) * size).requires_grad_()
    out = spatial_attention(x, "mean")
    torch.autograd.backward(out.sum())
    assert out.isfinite().all()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("kind", WEIGHTED)
def test_gradient_flows_through_the_weights(kind: str) -> None:
    x = random_map(2, 3, 3, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: spatial_attention(value, kind), (x,))
    with_constant_weights = (spatial_attention(x, kind) / x).detach()
    (gradient,) = torch.autograd.grad(spatial_attention(x, kind).sum(), x)
    assert not torch.allclose(gradient, with_constant_weights)


@pytest.mark.parametrize("kind", WEIGHTED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_only_rounded(kind: str, dtype: torch.dtype) -> None:
    # 256 channels add up to about 128: a softmax of such sums in half precision is off by tens of percent.
    x = random_map(2, 256, 12, 4, dtype=dtype)
    out = spatial_attention(x, kind)
    assert out.dtype == dtype
    exact = spatial_attention(x.double(), kind)
    rounding = 3 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact, rtol=rounding, atol=exact.max().item() * rounding)


def test_softmax_of_huge_sums_picks_the_largest_position() -> None:
    x = torch.zeros(1, 2, 2, 2)
    x[0, :, 1, 0], x[0, :, 0, 1] = 5000.0, 4000.0
    expected = torch.zeros_like(x)
    expected[0, :, 1, 0] = 5000.0
    torch.testing.assert_close(spatial_attention(x, "softmax"), expected)


def test_input_is_left_alone() -> None:
    x = random_map(2, 3, 4, 5)
    before = x.clone()
    for kind in WEIGHTED:
        spatial_attention(x, kind)
    assert torch.equal(x, before)


def test_unknown_kind_names_the_allowed_ones() -> None:
    with pytest.raises(ConfigError, match=r"^attention: 'max' is not one of mean, softmax, none$"):
        spatial_attention(random_map(1, 1, 2, 2), "max")
