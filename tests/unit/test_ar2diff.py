"""The presets of AR2Diff: what they train, and two steps of each from an autoregressive model."""

import pytest

from dnadiff.checkpoints.folder import read_provenance
from dnadiff.config import compose
from dnadiff.recipes.train import train
from tests.runs import SETTINGS, run, write_genome


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    place = tmp_path_factory.mktemp("ar2diff")
    return run(write_genome(place / "genome.fa"), place / "ar", algo="ar", model__stem=0, train__steps=2)


@pytest.mark.parametrize(
    ("name", "steps", "prefix"), [("0", 5000, True), ("10k", 10_000, False), ("100k", 100_000, False)]
)
def test_the_presets_say_what_the_paper_says(name, steps, prefix):
    config = compose([f"experiment=ar2diff_{name}"])
    assert (config.algo.name, config.train.steps, config.algo.prefix) == ("sundae", steps, prefix)
    assert (config.optim.lr, config.optim.schedule, config.optim.batch_size) == (1e-3, "constant", 128)
    assert config.data.bos and not config.algo.shift


@pytest.mark.parametrize("name", ["0", "10k"])
def test_two_steps_of_each(source, tmp_path, name):
    small = {**SETTINGS, "train.steps": 2, "model.stem": 0, "init_from": source}
    config = compose([f"experiment=ar2diff_{name}", *(f"{key}={value}" for key, value in small.items())])
    folder = train(config, str(source.parent / "genome.fa"), str(tmp_path / "run"), quiet=True)
    assert read_provenance(folder)["step"] == 2
