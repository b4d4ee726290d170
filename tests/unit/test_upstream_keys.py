"""The commands in the READMEs and scripts of MDLM and BD3-LM, in dnadiff's words or refused by the key's name."""

import pytest

from dnadiff import upstream_keys
from dnadiff.cli import main
from dnadiff.config import compose, groups, leaves
from dnadiff.errors import InputError
from dnadiff.upstream_keys import translate

EVAL = "mode=ppl_eval loader.batch_size=16 loader.eval_batch_size=16 data=openwebtext-split"
BD3 = (
    "loader.eval_batch_size=1 model=small algo=bd3lm algo.T=5000 data=openwebtext-split model.length=2048 block_size=4"
)

# README.md of kuleshov-group/mdlm (commit 7986462) and its scripts/
MDLM_TRAIN = """python main.py \\
  model=small \\
  data=openwebtext-split \\
  wandb.name=mdlm-owt \\
  parameterization=subs \\
  model.length=1024 \\
  eval.compute_generative_perplexity=True \\
  sampling.steps=1000"""
SCRIPT = "srun python -u -m main loader.batch_size=16 loader.eval_batch_size=16 "
MDLM_TRAIN_AR = SCRIPT + (
    "model=small-ar backbone=ar data=lm1b wandb.name=ar-lm1b parameterization=ar model.length=128 "
    "eval.compute_generative_perplexity=True sampling.steps=1000 time_conditioning=True"
)
MDLM_TRAIN_D3PM = SCRIPT + (
    "model=small data=lm1b wandb.name=d3pm-lm1b parameterization=d3pm model.length=128 "
    "eval.compute_generative_perplexity=True sampling.steps=1000 time_conditioning=True T=1000"
)
MDLM_TRAIN_SEDD = SCRIPT + (
    "model=small data=openwebtext-split wandb.name=sedd-owt parameterization=sedd model.length=1024 "
    "eval.compute_generative_perplexity=True sampling.steps=1000 time_conditioning=True"
)
# README.md of kuleshov-group/bd3lms (commit add6a51) and its scripts/
BD3_LOADER = (
    "loader.global_batch_size=512 loader.eval_global_batch_size=512 loader.batch_size=16 loader.eval_batch_size=16 "
)
BD3_TRAIN = f"python -u main.py {BD3_LOADER}" + (
    "model=small algo=bd3lm data=openwebtext-split model.length=1024 block_size=4 wandb.name=bd3lm-owt-block_size4 "
    "mode=train model.attn_backend=sdpa training.from_pretrained=null"
)
BD3_TUNE = f"python -u main.py {BD3_LOADER}" + (
    "model=small algo=bd3lm algo.clip_search_widths=[0.5,0.6,0.7,0.8,0.9] data=openwebtext-split model.length=1024 "
    "block_size=4 wandb.name=bd3lm-owt-block_size4 mode=train model.attn_backend=flex training.resample=True "
    "training.from_pretrained=kuleshov-group/bd3lm-owt-block_size1024-pretrain"
)
BD3_TRAIN_SEDD = (
    "python -u main.py loader.global_batch_size=512 loader.eval_global_batch_size=512 loader.batch_size=128 "
    "loader.eval_batch_size=128 model=small algo=sedd data=lm1b-wrap model.length=128 wandb.name=sedd-lm1b"
)
TRAINING = [MDLM_TRAIN, MDLM_TRAIN_AR, MDLM_TRAIN_D3PM, MDLM_TRAIN_SEDD, BD3_TRAIN, BD3_TUNE, BD3_TRAIN_SEDD]

CKPT = "eval.checkpoint_path=/path/to/checkpoint/mdlm.ckpt"
SAMPLING = [
    "python main.py mode=sample_eval eval.checkpoint_path=kuleshov-group/mdlm-owt data=openwebtext-split "
    "model.length=1024 sampling.predictor=ddpm_cache sampling.steps=1000 loader.eval_batch_size=1 "
    "sampling.num_sample_batches=10 backbone=hf_dit",
    f"python main.py mode=sample_eval {CKPT} data=openwebtext-split model.length=1024 sampling.predictor=ddpm_cache "
    "sampling.steps=10000 loader.eval_batch_size=1 sampling.num_sample_batches=1 backbone=dit",
    "python main.py mode=sample_eval eval.checkpoint_path=kuleshov-group/mdlm-owt data=openwebtext-split "
    "parameterization=subs model.length=1024 sampling.predictor=ddpm_cache sampling.steps=1000 "
    "loader.eval_batch_size=1 sampling.num_sample_batches=2 sampling.semi_ar=True "
    "sampling.stride_length=512 sampling.num_strides=2 backbone=hf_dit",
    f"python -u main.py {BD3} algo.backbone=hf_dit wandb=null mode=sample_eval "
    "eval.checkpoint_path=kuleshov-group/bd3lm-owt-block_size4 model.attn_backend=sdpa sampling.nucleus_p=0.9 "
    "sampling.kv_cache=true sampling.logdir=sample_logs/samples",
]
SCORING = [
    f"python main.py {EVAL} model=small parameterization=subs backbone=dit model.length=1024 {CKPT} "
    "+wandb.offline=true",
    f"python main.py {EVAL} model=small-ar parameterization=ar backbone=ar model.length=1024 {CKPT} "
    "+wandb.offline=true",
    f"python main.py {EVAL} model=small parameterization=sedd backbone=dit model.length=1024 {CKPT} "
    "time_conditioning=True sampling.predictor=analytic +wandb.offline=true",
    f"srun python -u -m main {EVAL} model=small parameterization=subs backbone=dit model.length=1024 T=1000 {CKPT} "
    "+wandb.offline=true",
    "python -u main.py loader.eval_batch_size=16 model=small algo=bd3lm algo.backbone=hf_dit data=openwebtext-split "
    "data.insert_valid_special=False model.length=1024 model.attn_backend=flex block_size=4 "
    "eval.checkpoint_path=kuleshov-group/bd3lm-owt-block_size4 wandb=null mode=ppl_eval > logs/bd3lm.log",
]


def on_a_genome(command):
    """The command with a genome in place of its text."""
    return [f"data.path=genome.fa {word.removeprefix('data=')}".split()[0] if word.startswith("data=") else word
            for word in command.replace("\\\n", " ").split()]  # fmt: skip


@pytest.mark.parametrize("command", TRAINING)
def test_their_texts_are_read_as_they_read_them(command):
    ours, notes = translate([command])
    text = {
        "openwebtext-split": {"data=openwebtext", "tokenizer=gpt2"},
        "lm1b": {"data=lm1b", "tokenizer=bert", "text.wrap=false"},
        "lm1b-wrap": {"data=lm1b", "tokenizer=bert"},
    }[command.split("data=")[1].split()[0]]
    assert {"task=text", "text.window_ends=true", *text} <= set(ours)
    assert any("reads a local folder, tokenizer.path=FOLDER" in note for note in notes)


def test_keys_of_their_texts_have_counterparts():
    words = "python main.py data=lm1b data.insert_train_special=False data.wrap=True data.cache_dir=x"
    ours = translate([words + " data.insert_valid_special=False"])[0]
    assert {"text.window_ends=false", "text.wrap=true", "task=text"} <= set(ours)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (MDLM_TRAIN, {"algo.name": "mdlm", "model.length": 1024, "wandb.name": "mdlm-owt", "logger": "wandb"}),
        (MDLM_TRAIN_AR, {"algo.name": "ar", "data.bos": True, "model.length": 128, "optim.accumulate": 32}),
        (MDLM_TRAIN_D3PM, {"algo.name": "d3pm", "algo.T": 1000, "time_conditioning": True, "model.adaln": True}),
        (MDLM_TRAIN_SEDD, {"algo.name": "sedd", "time_conditioning": True, "optim.accumulate": 32}),
        (BD3_TRAIN_SEDD, {"algo.name": "sedd", "optim.accumulate": 4, "wandb.name": "sedd-lm1b"}),
    ],
)
def test_training_commands_train_the_same_on_a_genome(command, wanted):
    words, notes = translate(on_a_genome(command))
    config = compose(words)
    upstream = {
        "data.path": "genome.fa", "model.hidden_size": 768, "model.n_blocks": 12, "model.n_heads": 12,
        "model.cond_dim": 128, "model.dropout": 0.1, "model.stem": 0, "optim.name": "adamw", "optim.lr": 3e-4,
        "optim.betas": [0.9, 0.999], "optim.warmup_steps": 2500, "optim.schedule": "constant", "optim.ema": 0.9999,
        "optim.batch_size": 512, "optim.clip": 1.0, "train.steps": 1_000_000, "train.minutes": None,
        "train.val_every": 10_000,
    }  # fmt: skip
    for key, value in (upstream | wanted).items():
        found = config
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value, key
    assert all("=" in note and ": " in note for note in notes)


@pytest.mark.parametrize("command", SAMPLING)
def test_sampling_commands_name_the_verb(command):
    with pytest.raises(InputError, match=r"^mode=sample_eval: .* dna-diff sample MODEL$"):
        translate([command])


@pytest.mark.parametrize("command", SCORING)
def test_scoring_commands_name_the_verb(command):
    with pytest.raises(InputError, match=r"^mode=ppl_eval: .* dna-diff evaluate RUN$"):
        translate([command])


def words_of(*given):
    return set(translate(["python", "main.py", "data.path=genome.fa", *given])[0])


def test_values_with_names_of_their_own():
    assert {"noise=cosine_squared", "estimator=time"} <= words_of("noise=cosinesqr")
    assert {"noise=geometric", "noise.sigma_min=1e-4", "estimator=time"} <= words_of(
        "noise=geometric", "noise.sigma_min=1e-4"
    )
    assert {"optim.schedule=cosine", "optim.lr_min=1e-6"} <= words_of(
        "lr_scheduler=cosine_decay_warmup", "lr_scheduler.lr_min=1e-6"
    )
    assert "optim.betas=[0.9,0.95]" in words_of("optim.beta2=0.95")
    assert "precision=fp32" in words_of("trainer.precision=32")
    assert "train.steps=50" in words_of("trainer.max_steps=50") and "train.steps=1000000" not in words_of(
        "trainer.max_steps=50"
    )
    assert {"optim.batch_size=64", "optim.accumulate=4"} <= words_of(
        "loader.global_batch_size=64", "loader.batch_size=16"
    )
    assert {"algo.importance_sampling=true", "estimator=time"} <= words_of("training.importance_sampling=True")
    assert {"algo.T=1000"} <= words_of("T=1000") and "estimator=time" not in words_of("T=1000")
    assert {"logger=wandb", "wandb.offline=true"} <= words_of("+wandb.offline=True")
    assert {"logger=tensorboard"} <= words_of("wandb=null")
    assert {"data.split=blocks"} <= words_of("data.split=blocks")


def test_tiny_is_the_size_that_its_repository_means():
    mdlm, block = words_of("model=tiny"), words_of("model=tiny", "algo=mdlm")
    assert {"model=small", "model.hidden_size=512", "model.n_blocks=8", "model.n_heads=8", "model.cond_dim=128"} <= mdlm
    assert {"model=small", "model.hidden_size=256", "model.n_blocks=8", "model.n_heads=8", "model.cond_dim=64"} <= block
    assert "model.n_blocks=4" in words_of("model=tiny", "model.n_blocks=4")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("backbone=dimamba", "backbone=dimamba: there is no such backbone here; backbone=dit would work"),
        ("backbone=hf_dit", "backbone=hf_dit: "),
        ("noise=polynomial", "noise=polynomial: "),
        ("parameterization=flow", "parameterization=flow: "),
        ("diffusion=uniform", "diffusion=uniform: has no counterpart; diffusion=absorbing_state would work"),
        ("training.antithetic_sampling=False", "training.antithetic_sampling=False: has no counterpart"),
        ("training.change_of_variables=True", "training.change_of_variables=True: is noise=log_uniform here"),
        ("algo.clip_search_widths=[0.5,0.6]", "algo.clip_search_widths=[0.5,0.6]: "),
        ("data.streaming=True", "data.streaming=True: no data that is read here"),
        ("data=ag_news", "data=ag_news: no data that is read here; data=openwebtext-split, lm1b"),
        ("data.insert_train_eos=False", "data.insert_train_eos=False: has no counterpart"),
        ("strategy=fsdp", "strategy=fsdp: "),
        ("optim.learning_rate=1", "optim.learning_rate=1: "),
        ("modell.length=5", "modell.length=5: did you mean model.length?"),
        ("model.length=$LENGTH", "$LENGTH: is a variable of the shell; write its value"),
        ("'model.length=5", "cannot be split into words"),
        ("~wandb", "~wandb: removes a key"),
        ("loader.batch_size=all", "loader.batch_size=all: is no whole number"),
        ("model.n_heads=5", "model.hidden_size=768: is not a multiple of model.n_heads=5"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(words, told):
    with pytest.raises(InputError) as caught:
        translate(["python main.py data.path=genome.fa " + words])
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_the_tables_name_what_there_is():
    known = leaves()
    assert {ours for ours in upstream_keys.SAME.values() if ours not in known} == set()
    for key, (ours, values) in upstream_keys.RENAMED.items():
        assert ours in known or ours in groups(), key
        assert values
    upstream = [*upstream_keys.SAME, *upstream_keys.RENAMED, *upstream_keys.LEFT_OUT]
    assert len(upstream) == len(set(upstream))


def test_block_models_translate():
    assert {"algo=bd3lm", "block_size=4"} <= set(translate(on_a_genome(BD3_TRAIN))[0])


def test_fine_tuning_of_a_block_model_translates():
    words, notes = translate(on_a_genome(BD3_TUNE))
    config = compose(words)
    assert config.algo.clip_search and config.init_from == "kuleshov-group/bd3lm-owt-block_size1024-pretrain"
    assert config.attention == "flex" and config.estimator == "count" and config.optim.accumulate == 32
    told = "\n".join(notes)
    assert "training.resample=True: " in told and "init_from=kuleshov-group" in told and "estimator=time" in told


def test_the_command_line_prints_a_command_and_what_it_left_out(capsys):
    assert main(["config", "translate", MDLM_TRAIN.replace("data=openwebtext-split", "data.path='my genome.fa'")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("dna-diff train ") and "'data.path=my genome.fa'" in out and "\n" not in out.rstrip("\n")
    assert err.startswith("left out     eval.compute_generative_perplexity=True: GPT-2 scores text")
    assert main(["config", "translate", MDLM_TRAIN.replace("openwebtext-split", "ag_news")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["config", "translate"]) == 2
