"""The command line: what each verb hands to its recipe, one line and one exit code for every mistake, instant help."""

import errno
import importlib
import inspect
import os
import subprocess
import sys
import types

import pytest

from dnadiff import __version__
from dnadiff.cli import main
from dnadiff.config import compose
from dnadiff.errors import DivergedError, InputError, ResourceError
from dnadiff.recipes.walk import Walk
from dnadiff.verbs import VERBS
from dnadiff.verbs.parser import Verb
from tests.runs import untrained

HEAVY = {"torch", "lightning", "numpy", "hydra", "omegaconf", "yaml", "rich", "matplotlib", "Bio", "pyfaidx", "sklearn"}


@pytest.fixture
def raising(monkeypatch):
    """Makes the verb doctor raise an exception."""

    def install(error):
        def run(args, argv):
            raise error

        monkeypatch.setitem(VERBS, "doctor", Verb("fails", lambda parser: None, run))

    return install


@pytest.fixture
def called(monkeypatch):
    """Puts a recorder in a recipe's place; returns the list that its arguments are added to."""

    def install(verb):
        calls = []
        recorder = types.ModuleType(f"dnadiff.recipes.{verb}")
        setattr(recorder, verb, lambda *args, **kwargs: calls.append((args, kwargs)))
        monkeypatch.setitem(sys.modules, recorder.__name__, recorder)
        return calls

    return install


def refusal(capsys, *words):
    """The error line of a command that must be refused as a mistake of the user."""
    assert main(list(words)) == 2
    err = capsys.readouterr().err
    assert err.startswith("dna-diff: error: ") and err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.removeprefix("dna-diff: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "trian: no such verb; did you mean train?"),
        (
            ["--vresion"],
            f"--vresion: no such verb; there are: {', '.join(VERBS)}",
        ),
        (["sample", "run", "--nuclues", "0.9"], "--nuclues: unknown to dna-diff sample; did you mean --nucleus?"),
        (["sample", "run", "--batch", "3"], "--batch: unknown to dna-diff sample; did you mean --batch-size?"),
        (["train", "--dryrun"], "--dryrun: unknown to dna-diff train; did you mean --dry-run?"),
        (["sample"], "the following arguments are required: RUN (see dna-diff sample --help)"),
        (
            ["sample", "run", "-n", "0"],
            "argument -n/--number: '0' is not a whole number of at least 1 (see dna-diff sample --help)",
        ),
        (
            ["sample", "run", "--temperature", "0"],
            "argument --temperature: '0' is not a number above 0 and at most 100 (see dna-diff sample --help)",
        ),
        (
            ["sample", "run", "--nucleus", "1.5"],
            "argument --nucleus: '1.5' is not a number above 0 and at most 1 (see dna-diff sample --help)",
        ),
        (
            ["sample", "run", "--seed", "x"],
            "argument --seed: 'x' is not a whole number (see dna-diff sample --help)",
        ),
        (
            ["sample", "run", "--sampler", "ancestrall"],
            "argument --sampler: 'ancestrall': did you mean ancestral? (see dna-diff sample --help)",
        ),
        (
            ["sample", "run", "--sampler", "first_hitting", "--steps", "9"],
            "--steps: belongs to --sampler ancestral, remdm, posterior, analytic and revising; "
            "first_hitting takes --tokens-per-step",
        ),
        (
            ["sample", "run", "--sampler", "ancestral", "--tokens-per-step", "9"],
            "--tokens-per-step: belongs to --sampler first_hitting; ancestral takes --steps",
        ),
        (["compare", "a.fa", "b.fa", "c.fa"], "c.fa: unknown to dna-diff compare; one word too many"),
        (["train", "a.fa", "b.fa"], "b.fa: a second genome after a.fa; give one, and settings as key=value"),
        (["train", "a.fa", "modle=tiny"], "modle: unknown key; did you mean model?"),
        (["train", "--seed", "3", "seed=4"], "--seed: contradicts seed=; give one of them"),
        (
            ["train", "--resume", "run", "g.fa"],
            "GENOME g.fa: contradicts --resume, which takes it from run; leave it out",
        ),
        (
            ["train", "--resume", "run", "--seed", "0"],
            "--seed 0: contradicts --resume, which takes it from run; leave it out",
        ),
        (["train", "--resume", "run", "-o", "b"], "-o b: contradicts --resume, which takes it from run; leave it out"),
        (["train", "--resum", "run"], "--resum: unknown to dna-diff train; did you mean --resume?"),
        (
            ["train", "--resume", "nowhere"],
            "nowhere/config.json: cannot be read (No such file or directory); "
            "a run folder written by dna-diff train would work",
        ),
        (["config", "list"], "argument action: 'list': did you mean ls? (see dna-diff config --help)"),
        (["config", "ls", "modle"], "modle: no such group of presets; did you mean model?"),
        (["config", "ls", "model", "noise"], "noise: a second group after model; give one"),
        (["config", "show", "optim.lr=fast"], "optim.lr=fast: expected a number, such as 3e-4"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, words, told):
    line = refusal(capsys, *words)
    assert line.replace("ls|show|translate", "action") == told


def test_names_and_summaries_stand_apart_in_the_help(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, verb in VERBS.items():
        assert any(line.startswith(f"  {name}  ") and line.endswith(f" {verb.summary}") for line in lines), name


def test_the_first_word_of_verbs_of_two_has_a_help(capsys):
    assert main(["bench", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in VERBS if name.startswith("bench ")) and "prepare" not in out


def test_no_verb_shows_the_help_and_is_a_mistake(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "verbs:" in out and err.startswith("dna-diff: error: no verb; there are: prepare, ")


NO_MEMORY = "not enough memory; use a smaller batch (train: more optim.accumulate), a shorter length or a smaller model"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("genome.fa:3: found X; ACGTN would work"), 2, "genome.fa:3: found X; ACGTN would work"),
        (DivergedError("loss is nan at step 3"), 3, "loss is nan at step 3"),
        (ResourceError("too long"), 4, "too long"),
        (MemoryError(), 4, NO_MEMORY),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            4,
            NO_MEMORY,
        ),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            4,
            NO_MEMORY,
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.fa"),
            4,
            "out.fa: no space left on the disk; free some or write elsewhere",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "genome.fa"),
            2,
            "genome.fa: No such file or directory",
        ),
        (ZeroDivisionError("a\nb"), 1, "internal error, rerun with --debug (ZeroDivisionError: a)"),
    ],
)
def test_every_error_has_its_line_and_its_code(raising, capsys, error, code, told):
    raising(error)
    assert main(["doctor"]) == code
    assert capsys.readouterr().err == f"dna-diff: error: {told}\n"


def test_debug_shows_where_an_error_came_from(raising, capsys):
    raising(InputError("no"))
    assert main(["doctor", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_signals_have_their_codes(raising, capsys):
    raising(KeyboardInterrupt())
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "dna-diff: interrupted\n"
    raising(SystemExit(143))
    assert main(["doctor"]) == 143


def test_a_reader_that_goes_away_is_met_in_silence():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "dnadiff", "config", "ls"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_train_hands_over_the_genome_and_the_composed_settings(called):
    calls = called("train")
    words = ["train", "model=nano", "g.fa", "-o", "run", "train.steps=5", "--seed", "3", "-q", "--dry-run"]
    assert main(words) == 0
    (args, kwargs), expected = calls[0], compose(["model=nano", "train.steps=5", "seed=3"])
    assert args == (expected, "g.fa", "run")
    assert kwargs == {"dry_run": True, "quiet": True, "argv": ["dna-diff", *words]}
    assert main(["train"]) == 0 and calls[1][0] == (compose([]), None, None)


def test_train_resume_hands_over_the_run_and_its_end(called, monkeypatch):
    calls = []
    called("train")
    monkeypatch.setattr(
        sys.modules["dnadiff.recipes.train"], "resume", lambda *a, **k: calls.append((a, k)), raising=False
    )
    words = ["train", "--resume", "run", "train.steps=9", "-q"]
    assert main(words) == 0
    assert calls == [(("run", ["train.steps=9"]), {"dry_run": False, "quiet": True, "argv": ["dna-diff", *words]})]


def test_sample_hands_over_its_flags(called):
    calls = called("sample")
    words = [
        "sample",
        "-n",
        "5",
        "--length=64",
        "run",
        "--tokens-per-step",
        "2",
        "--nucleus",
        ".9",
        "--seed",
        "-1",
        "-o",
        "x.fa",
    ]
    assert main(words) == 0
    args, kwargs = calls[0]
    assert args == ("run", "x.fa")
    assert (kwargs["n"], kwargs["length"], kwargs["seed"], kwargs["quiet"]) == (5, 64, -1, False)
    assert kwargs["walk"] == Walk(tokens_per_step=2, nucleus=0.9)
    assert main(["sample", "run", "--sampler", "ancestral", "--steps", "7"]) == 0
    assert (calls[1][0], calls[1][1]["walk"]) == (("run", "-"), Walk("ancestral", steps=7))
    words = (
        "--sampler remdm --remask loop --eta .1 --t-on .6 --t-off .1 --alpha-on .8 --top-k 3 --stride 9 --temperature 2"
    )
    assert main(["sample", "run", *words.split()]) == 0
    loop = {"remask": "loop", "eta": 0.1, "t_on": 0.6, "t_off": 0.1, "alpha_on": 0.8}
    assert calls[2][1]["walk"] == Walk("remdm", **loop, top_k=3, stride=9, temperature=2.0)


def test_design_hands_over_its_flags(called):
    calls = called("design")
    words = ["design", "run", "t.fa", "-n", "3", "--mask", "m.bed", "--gc", "0.4-0.6:50", "--max-homopolymer", "4"]
    words += [
        "--avoid",
        "GATC",
        "TTTT,AAAA",
        "--avoid-sites",
        "EcoRI,BsaI",
        "--avoid",
        "CCWGG",
        "--tokens-per-step",
        "2",
    ]
    assert main(words) == 0
    args, kwargs = calls[0]
    assert args == ("run", "t.fa", "-")
    assert (kwargs["n"], kwargs["mask"], kwargs["gc"], kwargs["max_homopolymer"]) == (3, "m.bed", "0.4-0.6:50", 4)
    assert (kwargs["avoid"], kwargs["avoid_sites"]) == (["GATC", "TTTT", "AAAA", "CCWGG"], ["EcoRI", "BsaI"])
    assert kwargs["walk"] == Walk(tokens_per_step=2)


def test_evaluate_and_compare_hand_over_their_flags(called):
    calls = called("evaluate")
    assert main(["evaluate", "run", "--split", "valid", "-o", "x.json", "more.fa", "--both-strands"]) == 0
    args, kwargs = calls[0]
    assert args == ("run", "more.fa", "x.json")
    assert (kwargs["split"], kwargs["both_strands"]) == ("valid", True) and "samples" not in kwargs
    calls = called("compare")
    assert main(["compare", "a.fa", "-", "-k", "2", "5", "--picture", "x.png"]) == 0
    args, kwargs = calls[0]
    assert args == ("a.fa", "-", None)
    assert (kwargs["k"], kwargs["picture"], kwargs["run"]) == ((2, 5), "x.png", None)


def test_prepare_hands_over_its_flags(called):
    calls = called("prepare")
    assert main(["prepare", "-", "-o", "store", "--drop-gaps", "--force"]) == 0
    args, kwargs = calls[0]
    assert args == ("-", "store")
    assert kwargs.pop("drop_gaps") and kwargs.pop("force")
    assert kwargs == {"rename_duplicates": False, "allow_truncated": False, "quiet": False}


@pytest.mark.parametrize("verb", ["prepare", "train", "sample", "design", "evaluate", "compare"])
def test_recipes_take_what_the_verbs_hand_over(verb):
    """The real recipe can be called with exactly the arguments that the verb gives."""
    module = importlib.import_module(f"dnadiff.recipes.{verb}")
    words = {
        "prepare": ["g.fa"],
        "train": [],
        "sample": ["run"],
        "design": ["run", "t.fa"],
        "evaluate": ["run"],
        "compare": ["a.fa", "b.fa"],
    }[verb]
    signature = inspect.signature(getattr(module, verb))
    bound = []

    def recipe(*args, **kwargs):
        bound.append(signature.bind(*args, **kwargs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, verb, recipe)
        assert main([verb, *words]) == 0
    assert len(bound) == 1


def test_threads_reach_torch(called, monkeypatch):
    import torch

    calls, before = called("sample"), torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, str(before))
    try:
        assert main(["sample", "run", "-j", "1"]) == 0
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], len(calls)) == (1, "1", 1)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([*verb.split(), "--help"] for verb in VERBS)], ids=" ".join
)
def test_help_imports_nothing_heavy(words):
    code = f"import sys; from dnadiff.cli import main; main({words}); print('loaded:', *{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:", done.stdout
    shown = __version__ if words == ["--version"] else "usage: dna-diff"
    assert shown in done.stdout


def test_config_ls_and_show_print_to_standard_output(capsys):
    assert main(["config", "ls", "model"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == [
        "model:",
        "model=bert",
        "model=caduceus",
        "model=caduceus_nano",
        "model=caduceus_ph",
        "model=gpt2",
        "model=llama",
        "model=medium",
        "model=nano",
        "model=small",
        "model=tiny",
    ]
    assert main(["config", "show", "model=nano"]) == 0
    assert "hidden_size: 64" in capsys.readouterr().out


def test_config_show_takes_over_what_training_would(tmp_path, capsys):
    untrained(tmp_path)
    assert main(["config", "show", f"init_from={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "hidden_size: 16" in out and "length: 32" in out
