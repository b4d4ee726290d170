r"""The exponential moving average of the weights: what is validated and published.

    shadow <- decay_n * shadow + (1 - decay_n) * weights,    decay_n = min(decay, (1 + n) / (10 + n))

at update n = 0, 1, ... The warm-up of the decay is upstream's; it makes .9999 usable in runs of a few thousand steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dnadiff.training.sharding import spread


class EMA:
    """A shadow copy of a module's parameters.

    Args:
        module: Whose parameters to average.
        decay: Limit of the decay, in [0, 1); 0 makes the shadow the weights themselves.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live = dict(module.named_parameters())
        self.shadow = {name: p.detach().clone() for name, p in self._live.items()}

    def follow(self) -> None:
        """Moves the shadow to where the parameters are now."""
        self.shadow = {name: shadow.to(self._live[name].device) for name, shadow in self.shadow.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the shadow towards the weights; once after every optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.shadow.values()), list(self._live.values()), 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module carries the averaged weights inside the block and its own again after it."""
        raw = {name: p.detach().clone() for name, p in self._live.items()}
        _copy(self.shadow, self._live)
        try:
            yield
        finally:
            _copy(raw, self._live)

    def state_dict(self) -> dict[str, dict[str, Tensor] | int]:
        """The shadow by parameter name, and the number of updates."""
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict) -> None:
        """Takes over what ``state_dict`` gave; tensors may be whole where the shadow is a slice."""
        self.updates = int(state["updates"])
        _copy({name: spread(state["shadow"][name], shadow) for name, shadow in self.shadow.items()}, self.shadow)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
