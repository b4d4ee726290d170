"""The store's windows are those that pyfaidx reads from the FASTA file, plain and BGZF, on both strands."""

import random

import pytest

from benchmarks.loading import BLOCK, Sides, places_of

SIZES = {"long": 273 * 512 + 300, "whole": 2 * 512, "short": 300, "one": 137 * 512 + 1}


@pytest.fixture(scope="module", params=["tiling", "random"])
def sides(request, tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp(request.param), random.Random(1)
    with open(folder / "genome.fa", "w") as file:
        for name, size in SIZES.items():
            text = "".join(rng.choices("ACGTacgtN", k=size))
            lines = "\n".join(text[i : i + 60] for i in range(0, size, 60))
            file.write(f">{name}\n{lines}\n")
    return Sides(folder / "genome.fa", folder, 512, request.param)


def test_every_way_reads_the_same_ids_up_to_the_ends_of_contigs_and_across_bgzf_blocks(sides):
    tiling = sides.dataset.mode == "tiling"
    numbers = range(sides.dataset.windows if tiling else 800)
    places = places_of(sides.dataset, numbers)
    assert {strand for *_, strand in places} == {"+", "-"}
    assert sum(block(name, start) != block(name, end - 1) for name, start, end, _ in places) >= 3
    if tiling:
        assert len(places) == 274 + 2 + 1 + 137
        borders = {("long", SIZES["long"]), ("whole", 1024), ("short", 300), ("one", SIZES["one"] - 1)}
        assert borders <= {(name, end) for name, _, end, _ in places}
    read = sides.read(numbers)
    assert read["store"].shape == (len(numbers), 512)
    assert (read["store"] == read["usual"]).all() and (read["store"] == read["best"]).all()


def block(name, base):
    """The BGZF block that holds a base."""
    names = list(SIZES)
    before = sum(len(other) + 2 + SIZES[other] + -(-SIZES[other] // 60) for other in names[: names.index(name)])
    return (before + len(name) + 2 + base + base // 60) // BLOCK
