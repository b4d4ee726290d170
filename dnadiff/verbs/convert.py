"""``dna-diff convert``: its flags and the recipe they reach."""

import argparse

from dnadiff.verbs.flags import one_of
from dnadiff.verbs.parser import Verb


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's arguments to a parser."""
    parser.add_argument(
        "checkpoint",
        metavar="CKPT",
        help="checkpoint of MDLM or BD3-LM; a model.bin of llama2.c; a folder or an id on the hub, of Caduceus, Llama, "
        "GPT-2 and BERT too",
    )
    parser.add_argument("-o", "--out", metavar="MODEL", required=True, help="model folder to write")
    parser.add_argument(
        "--weights", type=one_of("ema", "raw"), metavar="ema|raw", help="of a Lightning checkpoint (default: ema)"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        help="folder of a tokenizer, or nucleotide; a tokenizer.bin of llama2.c (default: what CKPT says)",
    )


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """Runs the verb on its parsed arguments and the words of the command line."""
    from dnadiff.recipes.convert import convert

    convert(args.checkpoint, args.out, weights=args.weights, tokenizer=args.tokenizer, quiet=args.quiet, argv=argv)


VERB = Verb("make a model folder of a checkpoint of another project", arguments, run)
