"""Weights that are shared out over the ranks, for models that fit no single device: PyTorch's ``fully_shard`` (FSDP2).

Each rank keeps a slice of every parameter, of its gradient, of the average and of the optimiser's moments, as a
``DTensor``; a block's weights are gathered when it runs and dropped after it (Rajbhandari et al., ZeRO: memory
optimizations toward training trillion parameter models, 2020; Zhao et al., PyTorch FSDP, 2023). The sum over ranks is
the one that replicas make, so losses agree with theirs to rounding.

Checkpoints hold whole tensors, whoever writes them, so a run may go on with another number of ranks, sharded or not.
Everything here that touches a whole tensor is collective: all ranks call it, in the same order.
"""

from typing import TypeVar

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dnadiff.diffusion import Denoiser
from dnadiff.training import ranks

T = TypeVar("T")


def shard(denoiser: Denoiser) -> None:
    """Leaves each rank its slice of the weights; every block is gathered by itself.

    Weights are dropped after every forward pass, the outermost ones too: between two passes the average may take their
    place.
    """
    device = torch.device(ranks.device())
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mesh = init_device_mesh(device.type, (ranks.world(),))
    for block in denoiser.backbone.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(denoiser.backbone, mesh=mesh, reshard_after_forward=True)


def is_sharded(module: torch.nn.Module) -> bool:
    """Whether any parameter of a module is a slice."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def whole(values: T) -> T:
    """Nested values with every slice replaced by its whole tensor, on the CPU; None instead on all ranks but the first.

    What is no slice stays the same object.
    """
    if isinstance(values, dict):
        return type(values)((name, whole(value)) for name, value in values.items())
    if isinstance(values, list | tuple):
        return type(values)(whole(value) for value in values)
    if not isinstance(values, DTensor):
        return values
    tensor = values.detach().full_tensor()
    return tensor.cpu() if ranks.rank() == 0 else None


def spread(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor that every rank has, sliced as another one is, or itself if that is none.

    Args:
        tensor: The values.
        like: A parameter or its average, of the same shape.
    """
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    placed = tensor.to(like.device_mesh.device_type)
    return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)
