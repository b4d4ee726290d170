"""A folder of BERT by the verbs: made a model, scored, sampled, continued as MDLM, taught classes; GPT-2 as a judge."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import dnadiff
from benchmarks import glue
from dnadiff.checkpoints.folder import build_denoiser, load, load_tokenizer, read_provenance, read_spec, save_model
from dnadiff.checkpoints.predictor import save_predictor
from dnadiff.cli import main
from dnadiff.config import compose, compose_finetune
from dnadiff.data.subwords import read_subwords
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, Full
from dnadiff.recipes.finetune import examples_of
from dnadiff.recipes.finetune_plan import plan
from dnadiff.recipes.finetune_task import reading
from dnadiff.recipes.taken_over import with_source
from tests.bert import MASK, encoder_folder, weights
from tests.parity.test_decoders import arrays, folder
from tests.runs import SETTINGS

__all__ = ["arrays"]  # a fixture

SHORT = [f"{key}={value}" for key, value in SETTINGS.items() if key.startswith(("optim", "train.minutes"))]
FEW = ["optim.batch_size=8", "optim.warmup_steps=2", "baselines=false", "bootstrap=0", "seed=1"]
LETTERS = "abdefgh"  # the words of the little GPT-2, behind its four specials


def sentence(rng, label):
    lead = rng.choice(["the", "film", "was", "a", "b", "d"], 3)
    return " ".join([*lead, *rng.choice((["bad"], ["good", "fine"])[label], 2)])


def decoder_folder(path, arrays):
    """The little GPT-2 or Llama with words for its eleven tokens: a word is a letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = folder(path, arrays, path.name)
    words = ["<|endoftext|>", "<unk>", "x", "y", *LETTERS]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens(["<|endoftext|>"])
    inner.save(str(made / "tokenizer.json"))
    return made


def write_letters(path):
    """Pairs of letters, and whether they are alike."""
    pairs = [(a, b) for a in LETTERS for b in LETTERS]
    path.write_text("text,label\n" + "".join(f"{a} {b},{int(a == b)}\n" for a, b in pairs))


def turned(source, out, **blocks):
    """A model folder of the same weights, read as a diffusion model that answers a position early, as adapt makes."""
    spec, old = read_spec(source), load(source)
    subs = {**spec["parameterization"], "name": "subs"}
    bound = {"name": "block_nelbo" if blocks else "masked_nelbo", "estimator": "count", **blocks}
    spec |= {
        "algo": "bd3lm" if blocks else "mdlm",
        "shift": True,
        "parameterization": subs,
        "objective": bound,
        **blocks,
    }
    new = build_denoiser(spec)
    new.backbone.load_state_dict(old.backbone.state_dict())
    save_model(Path(out), new, load_tokenizer(source), spec, {})


@pytest.fixture(scope="module")
def world(tmp_path_factory, arrays):
    """A text, a task, BERT's folder and the model it became, and GPT-2's folder."""
    place = tmp_path_factory.mktemp("encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADIFF_CACHE", str(place / "cache"))
        patch.chdir(place)
        rng = np.random.default_rng(1)
        (place / "a.txt").write_text("\n\n".join(sentence(rng, i % 2) for i in range(60)))
        (place / "task").mkdir()
        for part in ("train", "dev"):
            rows = "".join(f"{sentence(rng, i % 2)}\t{i % 2}\n" for i in range(48))
            (place / "task" / f"{part}.tsv").write_text("sentence\tlabel\n" + rows)
        encoder_folder(place / "bert")
        write_letters(place / "letters.csv")
        for name in ("gpt2", "llama"):
            decoder_folder(place / name, arrays)
        assert main(["convert", "bert", "-o", "model", "-q"]) == 0
        assert main(["convert", "gpt2", "-o", "judge", "--tokenizer", "gpt2", "-q"]) == 0
        assert main(["convert", "llama", "-o", "left", "--tokenizer", "llama", "-q"]) == 0
        turned("judge", "both_ways")
        turned("left", "blocks", block_size=3)
        yield place


def told(capsys, words):
    """The one line of a refusal."""
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_the_model_is_masked_by_its_own_mask(world):
    spec = read_spec("model")
    assert spec["parameterization"]["mask_id"] == MASK == load_tokenizer("model").mask_id
    assert MASK not in spec["parameterization"]["allowed"] and spec["process"]["schedule"]["name"] == "loglinear"
    assert read_provenance("model")["converted from"] == "bert folder" and spec["backbone"]["vocab_size"] == 40
    assert "BERT" in (world / "model" / "README.md").read_text()


def test_it_is_scored_and_sampled(world):
    assert main(["evaluate", "model", "a.txt", "--seed", "1", "-q", "-o", "scores.json"]) == 0
    report = json.loads((world / "scores.json").read_text())
    assert report["settings"]["objective"]["name"] == "masked_nelbo" and report["rows"][0]["perplexity"] > 1
    assert main(["sample", "model", "-n", "2", "--seed", "1", "-q", "-o", "x.jsonl"]) == 0
    fill = ["--prompt", "the [MASK] was good", "--fill", "-n", "4", "--seed", "2", "-q", "-o", "y.jsonl"]
    assert main(["sample", "model", *fill]) == 0
    texts = [json.loads(line)["text"] for line in (world / "y.jsonl").read_text().splitlines()]
    assert len(texts) == 4 and all(text.startswith("the") and text.endswith("was good") for text in texts)


def test_it_is_continued_as_mdlm_with_its_network_and_tokens(world):
    words = ["train", "a.txt", "init_from=model", "algo=mdlm", *SHORT, "-q", "-o", "mdlm", "--seed", "1"]
    assert main([*words, *(f"train.{key}=30" for key in ("steps", "val_every", "checkpoint_every"))]) == 0
    spec, base = read_spec("mdlm"), read_spec("model")
    assert spec["algo"] == "mdlm" and all(spec[key] == base[key] for key in ("backbone", "tokenizer", "text", "bos"))
    scores = [f"{name}.json" for name in ("before", "after")]
    for run, out in zip(("model", "mdlm"), scores, strict=True):
        assert main(["evaluate", run, "a.txt", "--seed", "1", "--samples", "2", "-q", "-o", out]) == 0
    before, after = (json.loads((world / out).read_text())["rows"][0]["bits_per_token"] for out in scores)
    assert after < before - 1
    grown = load("mdlm").backbone.state_dict()
    same = [name for name, value in load("model").backbone.state_dict().items() if torch.equal(value, grown[name])]
    assert same == ["second"], "every weight has a gradient but what only pairs of sentences have"


def test_what_is_said_wins_over_what_is_taken_over(world):
    taken = dict(word.split("=", 1) for word in with_source(["init_from=model", "model.length=8", "task=text"]))
    assert (taken["model"], taken["model.hidden_size"], taken["model.positions"]) == ("bert", "16", "12")
    assert taken["model.length"] == "8" and taken["tokenizer.path"] == "model" and taken["data.bos"] == "true"
    taken = with_source(["init_from=model", "model=nano", "tokenizer=bytes"])
    assert not any(word.startswith(("model.", "tokenizer.")) for word in taken) and "task=text" in taken
    assert with_source(["init_from=model", "experiment=x"]) == ["init_from=model", "experiment=x"]
    assert with_source(["algo=mdlm"]) == ["algo=mdlm"] and with_source(["init_from=null"]) == ["init_from=null"]


def test_it_learns_classes(world):
    words = ["finetune", "model", "task", "-o", "critic", "-q", *FEW, "train.epochs=3", "optim.lr=0.01"]
    assert main(words) == 0
    model = dnadiff.load_predictor("critic")
    assert model.predict(["the film was good good", "the film was bad bad"]).argmax(1).tolist() == [1, 0]
    assert not torch.equal(model.predictor.backbone.embed.weight, load("model").backbone.embed.weight)


def test_pairs_are_read_as_berts_own_fine_tuning_has_them(world):
    (world / "pairs.csv").write_text(
        "sentence1,sentence2,label\n"
        + "".join(f"the film,{a} {b},1\nbad,{b} e {a},0\n" for a in LETTERS for b in LETTERS)
    )
    config, tokenizer = reading(compose_finetune(["data.path=pairs.csv", "start=model", "seed=1"]))
    job = plan(config, examples_of(config, tokenizer), tokenizer=tokenizer)
    rows = job.frame.rows([job.frame.codes(("the film", "a b"), "x"), job.frame.codes("bad", "x")])
    pad, sep, cls = tokenizer.pad_id, tokenizer.sep_id, tokenizer.bos_id
    assert rows["tokens"][1].tolist() == [cls, *tokenizer.encode("bad"), sep, *[pad] * (len(rows["tokens"][1]) - 3)]
    n = len(tokenizer.encode("the film"))
    ids = [cls, *tokenizer.encode("the film"), sep, *tokenizer.encode("a b"), sep]
    assert rows["tokens"][0][: n + 5].tolist() == ids and not rows["second"][1].any()
    assert rows["second"][0].tolist() == [False] * (n + 2) + [True] * 3 + [False] * (len(rows["second"][0]) - n - 5)
    stored = weights()["bert.embeddings.token_type_embeddings.weight"]
    torch.testing.assert_close(job.predictor.backbone.second.detach(), stored[1] - stored[0])
    features = job.predictor.backbone.features
    tokens, second = torch.tensor([ids]), torch.tensor(rows["second"][:1, : len(ids)])
    assert not torch.allclose(features(tokens, torch.zeros(1), second=second), features(tokens, torch.zeros(1)))
    words = ["finetune", "model", "pairs.csv", "-o", "paired", "-q", *FEW, "train.epochs=2", "optim.lr=0.01"]
    assert main(words) == 0
    model = dnadiff.load_predictor("paired")
    assert model.frame.ends and not torch.equal(model.predictor.backbone.second, job.predictor.backbone.second)


def test_the_benchmark_adds_the_encoder_and_its_continuation(world, monkeypatch, capsys):
    monkeypatch.setattr(glue, "STARTS", {})
    (world / "glue").mkdir()
    (world / "task").rename(world / "glue" / "SST-2")
    words = ["--data", "glue", "--text", "a.txt", "--work", "work", "--only", "SST-2", "--epochs", "0.2",
             "--seeds", "1", "--limit", "40", "-o", "glue.json"]  # fmt: skip
    glue.main([*words, "--encoder", "bert", "--encoder-steps", "2", "--encoder-batch", "4"])
    (world / "glue" / "SST-2").rename(world / "task")
    row, out = json.loads((world / "glue.json").read_text())["SST-2"], capsys.readouterr().out
    assert [each["start"] for each in row["encoders"]] == ["encoder", "encoder-MDLM"] and row["starts"] == []
    assert all(
        "optim.lr=2e-05" in each["settings"] and "data.length=10" in each["settings"] for each in row["encoders"]
    )
    assert row["encoder"]["continued"]["steps"] == 2 and "encoder-MDLM" in out
    spec = read_spec("work/encoder-mdlm-2-4")
    assert spec["algo"] == "mdlm" and spec["backbone"] == read_spec("model")["backbone"]


@pytest.mark.parametrize(
    ("start", "pattern"),
    [("judge", BlockCausal(1)), ("left", BlockCausal(1)), ("both_ways", Full()), ("blocks", BlockCausal(3))],
)
def test_decoders_and_what_they_were_adapted_to_learn_classes_with_their_own_attention(world, start, pattern):
    config = compose_finetune(["data.path=letters.csv", f"start={start}", "seed=1", "optim.batch_size=8"])
    config, tokenizer = reading(config)
    job = plan(config, examples_of(config, tokenizer), tokenizer=tokenizer)
    assert job.predictor.pattern == pattern and job.spec["bos"]
    row = {name: torch.from_numpy(array) for name, array in job.frame.rows([tokenizer.encode("a b")]).items()}
    with torch.no_grad():
        states = load(start).backbone.features(row["tokens"], torch.zeros(1), pattern=pattern)
        job.predictor.head.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
        found = job.predictor(**row)
    torch.testing.assert_close(found, job.predictor.head(states, row["valid"]))
    save_predictor(world / f"{start}_critic", job.predictor, job.spec, {}, tokenizer)
    again = dnadiff.load_predictor(f"{start}_critic").predict(["a b", "a a"])
    np.testing.assert_allclose(again[0], found[0].softmax(0).numpy(), rtol=1e-5)
    assert not np.allclose(again[0], again[1])


def test_starts_that_cannot_learn_classes_are_told_in_a_line(world, capsys):
    words = ["finetune", "judge", "letters.csv", "-o", "new", *FEW]
    assert "the first position of this model does not see the others" in told(capsys, [*words, "head.pooling=first"])
    assert main(["convert", "gpt2", "-o", "bare", "-q"]) == 0
    line = told(capsys, ["finetune", "bare", "letters.csv", "-o", "new"])
    assert "bare: its tokens are ids, which nothing becomes; what dna-diff convert makes with --tokenizer" in line


def test_what_encoders_cannot_do_is_told_in_a_line(world, capsys):
    long = ["data.length=40", "data.crop=true"]
    line = told(capsys, ["finetune", "model", "task", "-o", "new", *FEW, *long])
    assert "data.length=40: the network of model has positions for 10 of them; data.length=10 would work" in line
    assert "model.dropout=0.1: the network of model has none" in told(
        capsys, ["finetune", "model", "task", "-o", "new", *FEW, "model.dropout=0.1"]
    )
    with pytest.raises(InputError, match=r"model.segments=true: tells sentences apart; leave it out of task=dna"):
        compose(["model=bert", "model.segments=true"])
    convertible = "bert: is a bert of another library; dna-diff convert bert -o MODEL would work"
    for words in (["evaluate", "bert", "a.txt"], ["finetune", "bert", "task"], ["sample", "bert"]):
        assert convertible in told(capsys, words)
    other = told(capsys, ["train", "a.txt", "init_from=model", "model=llama", "-o", "other"])
    assert "was built with model.backbone=bert, and this run has model.backbone=llama" in other


def chained(backbone, ids, window, stride):
    """Nats of the tokens that a judge scores, and how many: window by window, the first token of the first not."""
    nats, count, done = 0.0, 0, 0
    for start in range(0, len(ids), stride):
        part = ids[start : start + window]
        first = max(done - start, 1)
        with torch.no_grad():
            logits = backbone(torch.tensor([part]), torch.zeros(1), pattern=BlockCausal(1))[0, :, :11]
        costs = F.cross_entropy(logits[:-1], torch.tensor(part[1:], dtype=torch.int64), reduction="none")[first - 1 :]
        nats, count, done = nats + float(costs.double().sum()), count + len(costs), start + len(part)
        if done == len(ids):
            return nats, count
    raise AssertionError


@pytest.mark.parametrize(("convention", "stride"), [("mdlm", 12), ("bd3lm", 6)])
def test_gpt2_judges_from_its_folder_as_the_conventions_have_it(world, convention, stride):
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(list(LETTERS), n)) for n in (30, 12, 7, 25)]
    (world / "made.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (world / "real.txt").write_text(" ".join(rng.choice(list(LETTERS), 200)))
    backbone, tokenizer = load("judge").backbone, read_subwords("gpt2")
    found = [chained(backbone, tokenizer.encode(text).tolist(), 12, stride) for text in texts]
    nats, count = map(sum, zip(*found, strict=True))
    for judge in ("gpt2", "judge"):
        words = ["compare", "real.txt", "made.jsonl", "--task", "text", "--judge", judge, "--convention", convention]
        out = f"said_by_{judge}_{convention}.json"
        assert main([*words, "--seed", "1", "-q", "-o", out]) == 0
        report = json.loads((world / out).read_text())
        row = report["rows"][0]
        assert row["generative_perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-5)
        letters = 2 * count  # a letter and the blank before it
        assert row["bits_per_character"] == pytest.approx(nats / math.log(2) / letters, rel=1e-5)
        assert "without [BOS], so the first token is not scored" in report["protocol"][1]
    assert not (world / "gpt2" / "README.md").exists()


def test_a_judge_without_words_is_told_in_a_line(world, capsys):
    encoder_folder(world / "mute", words=None)
    words = ["compare", "real.txt", "made.jsonl", "--task", "text", "--judge"]
    (world / "made.jsonl").write_text('{"text": "a b"}\n')
    (world / "real.txt").write_text("a b d e")
    assert "--judge mute: has no vocabulary that is read here" in told(capsys, [*words, "mute"])
