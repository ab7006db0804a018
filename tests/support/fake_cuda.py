"""A CUDA device that is not there: tensors on it have a device as PyTorch sees it, and values of the CPU.

Every operation on such a tensor is dispatched twice: to PyTorch's fake tensors, which know devices, types and
shapes and refuse what a GPU would refuse, and to the CPU, for the values. So whole functions run, up to what
they return, and a block of them can be forbidden to wait for the device. Tensors on the CPU are real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
GPU_MEMORY = 2**34

_READING = (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default)
_COPYING = (aten._to_copy.default, aten.copy_.default)
_WRITING_AT = (aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
_FLOATS_ONLY = (aten._upsample_bilinear2d_aa.default, aten.upsample_bilinear2d.default)
"""Operations that have a kernel for the CPU's bytes, and for a GPU's floats only."""


class WaitsForTheDevice(AssertionError):
    """Something waits for the GPU where nothing may."""


class NoKernel(AssertionError):
    """An operation that PyTorch does not have on CUDA."""


class FakeCuda(TorchDispatchMode):
    """The mode in which tensors can be on the device."""

    device = torch.device("cuda")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = FakeTensorMode(allow_fallback_kernels=False)
        self._values = WeakTensorKeyDictionary()
        self._pinned = WeakTensorKeyDictionary()
        self._may_wait = True

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Forbids, within, all that has the CPU wait for the device: reading values, copies that block."""
        self._may_wait = False
        try:
            yield
        finally:
            self._may_wait = True

    def synchronize(self, device: object = None) -> None:
        """Stands for `torch.cuda.synchronize`."""
        if not self._may_wait:
            raise WaitsForTheDevice("torch.cuda.synchronize")

    def values(self, tensor: Tensor) -> Tensor:
        """The values of a tensor on the device."""
        found: Tensor = self._values[tensor]
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func.namespace == "prim":
            return func(*args, **kwargs)  # a question to the tensor, such as its device
        if torch.is_inference_mode_enabled():  # else PyTorch has done it
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, FakeTensor) or _is_cuda(leaf) for leaf in leaves):
            return self._on_cpu(func, args, kwargs)
        self._require_kernel(func, leaves)
        if not self._may_wait:
            self._require_no_wait(func, args, kwargs)
        try:
            seen, named = tree_map(self._seen_by_device, (tuple(args), kwargs))
            result = func(*seen, **named)
        except (DataDependentOutputException, DynamicOutputShapeException):
            if not self._may_wait:
                raise WaitsForTheDevice(f"{func}: what it gives depends on values on the device") from None
            result = None
        except UnsupportedOperatorException:  # fused steps of an optimiser, whose tensors keep their shapes
            self._require_one_device(func, leaves)
            result = None
        values = self._on_values(func, args, kwargs)
        if result is None:
            return tree_map(self._as_fake, values)
        fakes, found = tree_leaves(result), tree_leaves(values)
        for fake, value in zip(fakes, found, strict=True):
            if isinstance(fake, FakeTensor) and value is not None:
                assert fake.shape == value.shape and fake.dtype == value.dtype, (func, fake, value)
                self._values[fake] = value
        if all(leaf.device.type == "cpu" for leaf in fakes if isinstance(leaf, Tensor)):
            return values  # it has left the device
        return result

    def _on_cpu(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What a machine with a GPU does on its CPU, where memory can be page-locked."""
        if func is aten.is_pinned.default:
            return args[0] in self._pinned
        pinned = kwargs.pop("pin_memory", False) or func is aten._pin_memory.default
        with unset_fake_temporarily():
            result = args[0].clone() if func is aten._pin_memory.default else func(*args, **kwargs)
        if pinned:
            self._pinned[result] = True
        return result

    def _on_values(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        def value(leaf: Any) -> Any:
            if isinstance(leaf, FakeTensor):
                return self._values[leaf]
            return torch.device("cpu") if _is_cuda(leaf) else leaf

        kwargs.pop("pin_memory", None)
        args, kwargs = tree_map(value, (tuple(args), kwargs))
        with unset_fake_temporarily():
            return _CPU_FUNCTIONS.get(func, func)(*args, **kwargs)

    def _seen_by_device(self, leaf: Any) -> Any:
        return self._fake.from_tensor(leaf) if isinstance(leaf, Tensor) else leaf

    def _as_fake(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        fake = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=self.device)
        self._values[fake] = value
        return fake

    def _require_one_device(self, func: Any, leaves: Sequence[Any]) -> None:
        devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim}
        if len(devices) > 1:
            raise RuntimeError(f"{func}: found two different devices, {', '.join(map(str, devices))}")

    def _require_kernel(self, func: Any, leaves: Sequence[Any]) -> None:
        fakes = [leaf for leaf in leaves if isinstance(leaf, FakeTensor)]
        if torch.version.cuda and not torch._C._dispatch_has_computed_kernel_for_dispatch_key(
            func.name(), "CUDA"
        ):
            raise NoKernel(f"{func}: PyTorch has no kernel of it for CUDA")
        if func in _FLOATS_ONLY and not all(fake.is_floating_point() for fake in fakes):
            raise NoKernel(f"{func}: CUDA has no kernel of it for {fakes[0].dtype}")

    def _require_no_wait(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if func in _READING:
            raise WaitsForTheDevice(f"{func}: reads a value on the device")
        if func in _WRITING_AT and args[2].numel() > 1 and any(map(_is_mask, args[1])):
            raise WaitsForTheDevice(f"{func}: how many values a mask takes is known on the device")
        if func not in _COPYING:
            return
        target, source = (kwargs.get("device"), args[0]) if func is aten._to_copy.default else args[:2]
        to_gpu, of_gpu = _is_on_gpu(target), isinstance(source, FakeTensor)
        if of_gpu and not to_gpu and target is not None:
            raise WaitsForTheDevice(f"{func}: copies from the device")
        later = kwargs.get("non_blocking") or (func is aten.copy_.default and len(args) > 2 and args[2])
        if to_gpu and not of_gpu and not (later and source in self._pinned):
            raise WaitsForTheDevice(f"{func}: a copy to the device that blocks, or is of pageable memory")


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """A process with a CUDA device in which everything but autograd's backward pass runs.

    That pass needs a real device. In its place every parameter that a loss depends on gets a gradient of 0.
    """
    mode = FakeCuda()
    with ExitStack() as stack:
        stack.enter_context(mode._fake)  # first: it looks whether there is a real one
        for owner, name, instead in (
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "device_count", lambda: 1),
            (torch.cuda, "is_bf16_supported", lambda: True),
            (torch.cuda, "get_rng_state_all", lambda: [torch.get_rng_state()]),
            (torch.cuda, "set_rng_state_all", lambda states: None),
            (torch.cuda, "synchronize", mode.synchronize),
            (torch.cuda, "empty_cache", lambda: None),
            (torch.cuda, "mem_get_info", lambda device=None: (GPU_MEMORY, GPU_MEMORY)),
            (nn.Module, "_apply", _apply),
            (Tensor, "backward", _zero_gradients),
        ):
            stack.enter_context(patch.object(owner, name, instead))
        stack.enter_context(mode)
        yield mode


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """PyTorch's own swaps parameters in place, which those that something refers to weakly do not bear."""
    with torch.no_grad():
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    part._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
            for name, tensor in part._buffers.items():
                if tensor is not None:
                    part._buffers[name] = change(tensor)
    return module


def _zero_gradients(loss: Tensor) -> None:
    waiting, seen = [loss.grad_fn], set()
    assert loss.grad_fn is not None and loss.ndim == 0, (
        "only a scalar that depends on something has a gradient"
    )
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        if (leaf := getattr(node, "variable", None)) is not None and leaf.grad is None:
            leaf.grad = torch.zeros_like(leaf)


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _is_cuda(leaf: Any) -> bool:
    return isinstance(leaf, torch.device) and leaf.type == "cuda"


def _is_on_gpu(target: Any) -> bool:
    return _is_cuda(target) or isinstance(target, FakeTensor)


def _cudnn_batch_norm(images: Tensor, *more: Any) -> tuple[Tensor | None, ...]:
    return torch.native_batch_norm(images, *more)[0], None, None, None


def _evaluated_batch_norm(images: Tensor, *more: Any) -> tuple[Tensor | None, ...]:
    return aten._native_batch_norm_legit_no_training(images, *more)[0], None, None


_CPU_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    aten.cudnn_batch_norm.default: _cudnn_batch_norm,
    aten._native_batch_norm_legit_no_training.default: _evaluated_batch_norm,
}
"""Functions that compute an operation's values on the CPU, except those for the backward pass alone."""
