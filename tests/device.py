"""A device that is not the host, on a machine that has none: it computes, and minds whose tensors meet.

``DEVICE`` is PyTorch's ``meta`` by name. Inside ``device()`` its tensors have values, kept on the host out of sight,
and obey the rules of a GPU: an operation on tensors of both fails, unless the host's is a scalar, an index, or is being
copied. What asks for a value is noted, as the host would have to wait for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import nn
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
ATEN = torch.ops.aten
COPIES = (ATEN._to_copy.default, ATEN.copy_.default)
INDEXED = (ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default, ATEN._index_put_impl_.default)
READS = (ATEN._local_scalar_dense.default, ATEN.nonzero.default)


class There(torch.Tensor):
    """A tensor of the device; ``here`` is what it holds."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device=DEVICE,
        )  # fmt: skip

    def __init__(self, here):
        self.here = here

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs, reads=None):
    """What an operation on tensors of the device gives, there unless it was asked for here."""
    leaves = tree.tree_leaves((args, kwargs))
    there = {id(x.here): x for x in leaves if isinstance(x, There)}
    here = [x for x in leaves if isinstance(x, torch.Tensor) and not isinstance(x, There)]
    if any(x.device == DEVICE for x in here):
        raise RuntimeError(f"{func}: a tensor without values, made of a list among the indices")
    if func in INDEXED:
        here = [x for x in here if not any(x is index for index in args[1])]
    if there and func not in COPIES and any(x.ndim for x in here):
        raise RuntimeError(f"{func}: a tensor of the host among those of the device")
    if func in INDEXED and not isinstance(args[0], There):
        raise RuntimeError(f"{func}: a tensor of the host indexed by one of the device")
    if func is ATEN._fused_sdp_choice.default:
        return 0  # written out in plain operations
    asked = kwargs.get("device")
    to_host = asked is not None and asked != DEVICE
    copied_to_host = func is ATEN.copy_.default and not isinstance(args[0], There)
    if reads is not None and (func in READS or to_host or copied_to_host):
        reads.append(str(func))
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = tree.tree_map(lambda x: x.here if isinstance(x, There) else x, (args, kwargs))
    found = func(*args, **kwargs)
    if to_host or copied_to_host:
        return found
    return tree.tree_map(lambda x: there.get(id(x), There(x)) if isinstance(x, torch.Tensor) else x, found)


class _Device(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.reads = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        there = any(isinstance(x, There) for x in tree.tree_leaves((args, kwargs)))
        if there or kwargs.get("device") == DEVICE:
            return computed(func, args, kwargs, self.reads)
        return func(*args, **kwargs)


@contextmanager
def device() -> Iterator[list[str]]:
    """The device is there inside the block; gives the operations by which the host asked it for values."""
    inference = mock.patch.multiple(torch.inference_mode, __enter__=_enter, __exit__=_exit)
    with _Device() as mode, inference, mock.patch.object(torch, "tensor", _tensor):
        yield mode.reads


def _tensor(values, *, device=None, make=torch.tensor, **options):
    """``torch.tensor`` makes what it makes before anybody is asked."""
    return make(values, **options).to(device or "cpu")


def _enter(self):
    """Tensors made in inference mode cannot be wrapped: no gradients will do."""
    self.around = torch.no_grad()
    self.around.__enter__()


def _exit(self, *error):
    self.around.__exit__(*error)


def moved(module: nn.Module) -> nn.Module:
    """The module with its weights on the device."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None and not isinstance(weight, There):
                part._parameters[name] = nn.Parameter(There(weight.detach()))
        for name, value in part._buffers.items():
            if value is not None and not isinstance(value, There):
                part._buffers[name] = There(value)
    return module
