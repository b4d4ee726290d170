"""Work on numbered items cut into contiguous shards, so that the shards' outputs one after the other are the whole.

Randomness is addressed by an item's number, so an item comes out the same in whichever shard it is made. A shard is
asked for by ``--shard``; what remains is cut once more over the processes that ``torchrun`` started.
"""

from dataclasses import dataclass

from dnadiff.errors import InputError
from dnadiff.training import ranks


@dataclass(frozen=True)
class Shard:
    """One of some shards of equal size, up to one item.

    Attributes:
        number: Which, from 1.
        of: How many there are.
    """

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def take(self, items: range, what: str) -> range:
        """The items of this shard.

        Args:
            items: Those of all shards.
            what: What the items are, for the message.

        Raises:
            InputError: There are more shards than items.
        """
        if len(items) < self.of:
            raise InputError(f"{len(items)} {what} cannot be shared by {self.of} shards or processes; fewer would work")
        first, end = (len(items) * n // self.of for n in (self.number - 1, self.number))
        return items[first:end]


WHOLE = Shard()
"""All of the work."""


def of_process() -> Shard:
    """The shard of this process among those that ``torchrun`` started."""
    return Shard(ranks.rank() + 1, ranks.world())


def check_seed(seed: int | None, shard: Shard) -> None:
    """Refuses to draw a seed where several processes need the same.

    Raises:
        InputError: There are shards and no seed.
    """
    if seed is None and (shard.of > 1 or ranks.world() > 1):
        raise InputError("--seed: is missing, and all shards must be given the same; --seed 1 would work")
