"""What a configuration of pairs leaves to windows of genomes and documents."""

from dataclasses import fields
from typing import TYPE_CHECKING

from dnadiff.schema.checks import require
from dnadiff.schema.text import check_defaults

if TYPE_CHECKING:
    from dnadiff.schema import Config

_OF_WINDOWS = (
    "valid_path", "test_path", "split", "bed", "extend", "valid", "test", "gap", "reverse_complement", "min_valid",
    "repeat_weight", "label", "classes",
)  # fmt: skip
"""Keys of the section ``data`` that pairs have no use for."""


def check_pairs(config: "Config") -> None:
    """Nothing if no setting contradicts ``data.pairs``.

    Raises:
        InputError: One does, by name.
    """
    if not config.data.pairs:
        check_defaults("data", config.data, ("source_length",), "data.pairs=true")
        return
    windows = () if config.task.name == "text" else ("windows",)  # the preset of text chooses one
    check_defaults("data", config.data, (*_OF_WINDOWS, *windows), "data.pairs=false")
    check_defaults("text", config.text, tuple(of.name for of in fields(config.text)), "data.pairs=false")
    learned = config.tokenizer.name == "bpe"
    require(not learned, "tokenizer=bpe: learns from documents; with data.pairs=true tokenizer.name=model would work")
    require(not config.algo.prefix, "algo.prefix=true: cuts windows, and data.pairs=true has sources; leave it out")
    require(not config.model.rc, "model.rc=true: reads both strands alike; leave it out of data.pairs=true")
