"""``model.rc=true`` from the command line: trained, scored, sampled, begun with and refused."""

import json

import pytest
import torch

from dnadiff.checkpoints.folder import build_denoiser, load, read_spec
from dnadiff.cli import main
from dnadiff.config import compose
from dnadiff.data.tokenizers import NucleotideTokenizer
from dnadiff.errors import InputError
from dnadiff.models.rc import ReverseComplement
from tests.runs import SPEC, run, write_genome

METHODS = {
    "mdlm": {},
    "udlm": {"model__adaln": "true"},
    "sedd": {"model__adaln": "true"},
    "d3pm": {"model__adaln": "true", "algo__T": 10},
    "mlm": {},
}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return write_genome(tmp_path_factory.mktemp("genome") / "g.fa")


@pytest.fixture(scope="module")
def trained(genome, tmp_path_factory):
    return run(genome, tmp_path_factory.mktemp("run") / "run", model__rc="true", model__stem=3)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "mdlm"])
def test_other_methods_of_whole_windows_train_it(genome, tmp_path, method):
    folder = run(genome, tmp_path / "run", algo=method, model__rc="true", train__steps=1, **METHODS[method])
    assert isinstance(load(folder).backbone, ReverseComplement)


def test_it_is_scored_and_sampled(trained, tmp_path, capsys):
    assert main(["evaluate", str(trained), "-o", str(tmp_path / "r.json"), "--seed", "1", "-q"]) == 0
    assert 1 < json.loads((tmp_path / "r.json").read_text())["rows"][0]["bits_per_base"] < 3
    capsys.readouterr()
    assert main(["sample", str(trained), "-n", "2", "--seed", "1", "-q"]) == 0
    sequences = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(">")]
    assert [len(line) for line in sequences] == [32, 32] and set("".join(sequences)) <= set("ACGT")


def test_what_was_learned_is_the_same_for_both_strands(trained):
    denoiser, tokenizer = load(trained), NucleotideTokenizer()
    assert read_spec(trained)["backbone"]["rc"] == [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]
    assert "both strands alike" in (trained / "model" / "README.md").read_text()
    x = torch.from_numpy(tokenizer.encode("ACGTTGCANNACGGTA"))[None]
    x[0, [2, 3, 9]] = tokenizer.mask_id
    other = torch.from_numpy(tokenizer.complement(x.numpy())).flip(1)
    with torch.no_grad():
        own, mirrored = denoiser(x, None), denoiser(other, None).flip(1)[..., [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]]
    masked = x[0] == tokenizer.mask_id
    torch.testing.assert_close(own[0, masked][:, 7:11], mirrored[0, masked][:, 7:11], atol=1e-5, rtol=0)


def test_training_can_begin_with_one(genome, trained, tmp_path):
    folder = run(genome, tmp_path / "a", model__rc="true", model__stem=3, init_from=trained, train__steps=1)
    assert folder.exists()
    with pytest.raises(InputError, match=r"this run has model\.rc=false; model\.rc=true would work$"):
        run(genome, tmp_path / "b", model__stem=3, init_from=trained, train__steps=1)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["algo=ar"],
            "model.rc=true: a network of both strands sees bases to the right, which algo=ar predicts; model.rc=false "
            "would work",
        ),
        (
            ["algo=bd3lm", "block_size=4"],
            "model.rc=true: a network of both strands sees bases to the right, which algo=bd3lm predicts; "
            "model.rc=false would work",
        ),
        (["data.bos=true"], "data.bos=true: begins one strand and not the other; leave it out or model.rc"),
    ],
)
def test_what_has_one_direction_is_refused(overrides, line):
    with pytest.raises(InputError) as caught:
        compose(["model.rc=true", *overrides])
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bos": True}, "bos=true: begins one strand"),
        ({"backbone": {**SPEC["backbone"], "rc": [1, 0]}}, "complement: found 2 ids"),
        ({"backbone": {**SPEC["backbone"], "rc": "yes"}}, "a list of whole numbers"),
        ({"backbone": {**SPEC["backbone"], "rc": True}}, "a list of whole numbers"),
    ],
)
def test_folders_that_say_otherwise_are_refused(changes, told):
    backbone = {**SPEC["backbone"], "rc": [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11]}
    assert isinstance(build_denoiser({**SPEC, "backbone": backbone}).backbone, ReverseComplement)
    with pytest.raises(InputError, match=told):
        build_denoiser({**SPEC, "backbone": backbone, **changes})
