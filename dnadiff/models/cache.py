"""Keys and values of the tokens a sampler has finished, so that they are never computed again."""

from torch import Tensor


class KVCache:
    """Rotated keys and values of a prefix, one pair a layer; owned by the sampler.

    A forward pass reads the prefix and stages the keys and values of its own tokens; nothing is kept until the sampler
    says how many of them are final with ``commit``. Rotary angles are those of the absolute positions: attention sees
    differences of positions only, so forgetting the oldest tokens needs no rotation anew.

    The tensors live in buffers that are written in place and moved seldom, so a pass copies its own tokens and not the
    prefix; with ``keep`` their size is bounded however long the sequence gets. Nothing is differentiated through them.

    Args:
        keep: Most tokens to remember; older ones are forgotten. None remembers all.

    Attributes:
        length: Tokens committed, forgotten ones included: the position of the next token.
        forgotten: How many of them are forgotten.
    """

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self.length = self.forgotten = 0
        self._layers: dict[int, _Layer] = {}

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what is remembered and of the new tokens, (B, H, length - forgotten + N, K) each.

        They are valid until the next pass; the new ones are staged.
        """
        if layer not in self._layers:
            self._layers[layer] = _Layer(k, v)
        return self._layers[layer].extend(self.forgotten, self.length, k, v)

    def commit(self, n: int) -> None:
        """Keep the first n of the tokens of the last forward pass as part of the prefix."""
        self.length += n
        if self.keep is not None:
            self.forgotten = max(self.forgotten, self.length - self.keep)


class _Layer:
    """One layer's buffers; position p of the sequence lies at index p - first."""

    def __init__(self, k: Tensor, v: Tensor) -> None:
        self.first = 0
        self.buffers = [k[:, :, :0], v[:, :, :0]]

    def extend(self, start: int, length: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Positions start up to length + N, the last N of which are written."""
        end = length + k.shape[2]
        if end - self.first > self.buffers[0].shape[2]:
            self._move(start, length, 2 * (end - start))
        for buffer, tokens in zip(self.buffers, (k, v), strict=True):
            buffer[:, :, length - self.first : end - self.first] = tokens.detach()
        kept_k, kept_v = (buffer[:, :, start - self.first : end - self.first] for buffer in self.buffers)
        return kept_k, kept_v

    def _move(self, start: int, length: int, room: int) -> None:
        """Positions start up to length to the beginning of buffers for ``room`` tokens."""
        for i, old in enumerate(self.buffers):
            self.buffers[i] = old.new_empty((*old.shape[:2], room, old.shape[3]))
            self.buffers[i][:, :, : length - start] = old[:, :, start - self.first : length - self.first]
        self.first = start
