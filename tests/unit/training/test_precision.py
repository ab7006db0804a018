"""What the settings of precision mean, and that nothing of it outlives its use."""

from __future__ import annotations

import pytest
import torch

from sa_study.training.precision import autocast, float32_products

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def flags() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("precision", "allowed"), [("tf32", True), ("fp32", False), ("bf16", False)])
def test_tf32_is_allowed_where_it_is_asked_for_and_nowhere_else(precision: str, allowed: bool) -> None:
    before = flags()
    with float32_products(precision):
        assert flags() == (allowed, allowed)
        with float32_products("fp32"):
            assert flags() == (False, False)
        assert flags() == (allowed, allowed)
    assert flags() == before
    with pytest.raises(ZeroDivisionError), float32_products(precision):
        _ = 1 / 0
    assert flags() == before


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", torch.float32),
        ("tf32", torch.float32),
        ("auto", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
    ],
)
def test_the_type_that_products_are_computed_in_on_a_cpu(precision: str, expected: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_auto_is_bf16_on_cuda() -> None:
    factor = torch.ones(2, 2, device=CUDA)
    with autocast("auto", CUDA):
        assert (factor @ factor).dtype == torch.bfloat16
