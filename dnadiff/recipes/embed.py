"""``dna-diff embed``: a vector for each sequence, from the hidden states of a model."""

import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from dnadiff import __version__
from dnadiff.checkpoints import manifest
from dnadiff.checkpoints.embedder import Embedder, load_embedder
from dnadiff.checkpoints.folder import CONFIG, model_folder, model_hash
from dnadiff.checkpoints.provenance import provenance, write_provenance
from dnadiff.data import atomic
from dnadiff.data.example_batches import check_known
from dnadiff.data.examples import Example
from dnadiff.data.genome import cache_folder
from dnadiff.data.labelled import read_sequences
from dnadiff.errors import InputError
from dnadiff.recipes.sample import progress_bar
from dnadiff.recipes.tables import write_whole
from dnadiff.training import ranks

SUFFIXES = (".npz", ".parquet")


@dataclass(frozen=True)
class How:
    """How sequences become vectors.

    Attributes:
        layer: Blocks behind the states; None is the last layer.
        pooling: One of ``embedder.POOLINGS``.
        both_strands: Average the vectors of both strands.
        dtype: ``fp32`` or ``bf16``, what the network computes in; vectors are float32.
    """

    layer: int | None = None
    pooling: str = "mean"
    both_strands: bool = False
    dtype: str = "fp32"


def embed(
    model: str, data: str, out: str, how: How | None = None, *, batch_size: int = 64, quiet: bool = False,
    argv: list[str] | None = None,
) -> None:  # fmt: skip
    """Writes names and vectors of all sequences, in their order, and the provenance beside.

    Args:
        model: Model folder or run folder, of any method or fine-tuned.
        data: FASTA or a table of sequences; labels in it are not looked at.
        out: ``.npz`` with the arrays ``names`` (n,) and ``embeddings`` (n, D) float32, or ``.parquet`` with the columns
            name, e0, e1 and so on.
        how: Layer, pooling, strands and precision; None is the mean of the last layer.
        batch_size: Sequences at once; changes no vector by more than rounding.
        quiet: Show no progress.
        argv: The command line, for the provenance.

    Raises:
        InputError: The model, a sequence or a setting cannot be used, or ``out`` exists.
        ResourceError: The disk is full.
    """
    how = how or How()
    _check_out(out)
    embedder = load_embedder(model)
    embedder.check(how.layer, how.pooling)
    examples, digests = read_sequences(data)
    check_sequences(embedder, examples)
    note_long(embedder, [example.codes for example in examples])
    embedder.backbone.to(ranks.device())
    vectors = vectors_of(embedder, [example.codes for example in examples], how, batch_size, quiet=quiet)
    names = [example.name for example in examples]
    write_whole(Path(out), _npz(names, vectors) if Path(out).suffix == ".npz" else _parquet(names, vectors))
    inputs = {str(model_folder(model)): model_hash(model), **digests}
    layer = embedder.layers if how.layer is None else how.layer
    facts = asdict(how) | {"layer": layer, "sequences": len(names), "width": vectors.shape[1]}
    write_provenance(Path(out), provenance(argv or [], None, inputs) | facts)


def check_sequences(embedder: Embedder, examples: Sequence[Example]) -> None:
    """Refuses sequences that a model cannot read, by their place.

    Raises:
        InputError: One has no known base, or is far too long.
    """
    for example in examples:
        check_known(example.codes, example.place)
        embedder.check_length(example.codes, example.place)


def note_long(embedder: Embedder, codes: Sequence[np.ndarray]) -> None:
    """Says on standard error how many sequences are longer than what the model was trained on."""
    longer = sum(len(one) > embedder.window for one in codes)
    if longer:
        print(
            f"dna-diff: note: {longer:,} of {len(codes):,} sequences are longer than the {embedder.window:,} bases "
            "that the model was trained on",
            file=sys.stderr,
        )


def vectors_of(
    embedder: Embedder, codes: Sequence[np.ndarray], how: How, batch_size: int, *, quiet: bool = False
) -> np.ndarray:
    """The vectors of sequences, (n, D) float32, in the precision asked for, with a progress bar unless ``quiet``."""
    device = next(embedder.backbone.parameters()).device.type
    total = len(codes) * (1 + how.both_strands)
    with (
        torch.autocast(device, dtype=torch.bfloat16, enabled=how.dtype == "bf16"),
        progress_bar(total, quiet, unit="sequences") as progress,
    ):
        return embedder.embed(
            codes, layer=how.layer, pooling=how.pooling, both_strands=how.both_strands, batch_size=batch_size,
            progress=progress,
        )  # fmt: skip


def cached_vectors(
    model: str, embedder: Embedder, codes: Sequence[np.ndarray], how: How, batch_size: int
) -> np.ndarray:
    """The vectors of sequences, computed once and kept in the cache.

    Weights and configuration of the model, ``how`` and the sequences decide the name. Each different sequence is
    computed once, and their order does not matter: another split of the same data finds what it needs.

    Args:
        model: Model or run folder, whose hashes are part of the name.
        embedder: Its network.
        codes: The sequences.
        how: Layer, pooling, strands and precision.
        batch_size: Sequences at once.

    Raises:
        InputError: What the cache holds is damaged.
    """
    different = sorted({one.tobytes() for one in codes}, key=lambda text: (len(text), text))
    number = {text: place for place, text in enumerate(different)}
    path = cache_folder() / "embeddings" / f"{_key(model, different, how)}.npy"
    with atomic.lock(path):
        if path.exists():
            found = _read(path, len(different))
        else:
            found = vectors_of(embedder, [np.frombuffer(text, dtype=np.uint8) for text in different], how, batch_size)
            content = io.BytesIO()
            np.save(content, found)
            write_whole(path, content.getvalue())
    return found[[number[one.tobytes()] for one in codes]]


def _key(model: str, different: Sequence[bytes], how: How) -> str:
    sums = manifest.read_manifest(model_folder(model))
    digest = hashlib.sha256(repr((__version__, model_hash(model), sums[CONFIG], asdict(how))).encode())
    for text in different:
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()[:32]


def _read(path: Path, n: int) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as embeddings; removing it would work") from error
    if found.ndim != 2 or len(found) != n or found.dtype != np.float32:
        raise InputError(f"{path}: holds {found.dtype} {list(found.shape)}; removing it would work")
    return found


def _check_out(out: str) -> None:
    if Path(out).suffix not in SUFFIXES or out == "-":
        raise InputError(f"{out}: embeddings are NPZ or Parquet; a name that ends in .npz or .parquet would work")
    atomic.check_file(out)
    if Path(out).suffix == ".parquet":
        _pyarrow(out)


def _npz(names: Sequence[str], vectors: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, names=np.array(names), embeddings=vectors)
    return content.getvalue()


def _parquet(names: Sequence[str], vectors: np.ndarray) -> bytes:
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    columns = {"name": list(names), **{f"e{i}": column for i, column in enumerate(vectors.T)}}
    parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def _pyarrow(out: str) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{out}: needs a package that is missing; pip install 'dnadiff[text]', or an output in .npz, would work"
        ) from error
