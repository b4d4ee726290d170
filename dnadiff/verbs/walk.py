"""The flags that say how to sample, shared by the verbs that generate."""

import argparse
from typing import TYPE_CHECKING

from dnadiff.verbs.flags import one_of, real, whole

if TYPE_CHECKING:
    from dnadiff.recipes.walk import Walk

SAMPLERS = ("first_hitting", "ancestral", "remdm", "posterior", "analytic", "revising", "autoregressive")
CLASSIFIER_STEPS = ("exact", "first-order")
REMASK = ("cap", "rescale", "conf", "loop")


def walk_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    add, share = parser.add_argument, real(0, 1)
    names = "|".join(SAMPLERS)
    add(
        "--sampler",
        type=one_of(*SAMPLERS),
        metavar=names,
        help="how hidden bases are drawn (default: the method's own)",
    )
    add(
        "--steps",
        type=whole(1),
        metavar="T",
        help="steps of all but first_hitting and autoregressive",
    )
    add("--candidates", type=whole(1), metavar="N", help="samples revising chooses the best of (default: 8)")
    add(
        "--tokens-per-step",
        type=whole(1),
        metavar="K",
        help="bases first_hitting reveals at once; 1 is exact (default: 1; plain DNA from sample: 1/64 of the bases)",
    )
    add(
        "--temperature",
        type=real(0, 100),
        default=1.0,
        metavar="X",
        help="below 1 more typical, above 1 more varied (default: 1)",
    )
    add("--nucleus", type=share, default=1.0, metavar="P", help="keep the likeliest bases up to P (1: all)")
    add("--top-k", type=whole(1), metavar="K", help="keep the K likeliest bases (default: all)")
    add("--remask", type=one_of(*REMASK), metavar="|".join(REMASK), help="how remdm takes bases back (default: cap)")
    add("--eta", type=share, metavar="X", help="how strongly (default: the paper's, .008 .015 1 .02)")
    add("--t-on", type=share, metavar="T", help="time at which --remask loop begins (default: .55)")
    add("--t-off", type=share, metavar="T", help="time at which it ends (default: .05)")
    add("--alpha-on", type=share, metavar="A", help="share of the bases there meanwhile (default: .9)")
    add("--stride", type=whole(1), metavar="S", help="slide a training window along longer sequences, S bases a time")
    add("--label", metavar="NAME", help="class to generate, of the model's or the classifier's (default: any)")
    add(
        "--guidance",
        type=real(0, 1000),
        metavar="GAMMA",
        help="push towards the class: 1 is the class itself (default), 2 exaggerates it",
    )
    add("--classifier", metavar="MODEL", help="guide by a model fine-tuned with data.masked=true; needs --label")
    add(
        "--classifier-steps",
        type=one_of(*CLASSIFIER_STEPS),
        metavar="|".join(CLASSIFIER_STEPS),
        help="ask it about every base, or once by its gradient (default: exact)",
    )
    block_size(parser)


def block_size(parser: argparse.ArgumentParser) -> None:
    """Adds ``--block-size``."""
    parser.add_argument(
        "--block-size", type=whole(1), metavar="B", help="bases of a block (default: as the model was trained)"
    )


def walk_of(args: argparse.Namespace) -> "Walk":
    """The settings the flags amount to.

    Raises:
        InputError: A flag belongs to another sampler.
    """
    from dnadiff.recipes.walk import Walk, checked

    walk = Walk(
        sampler=args.sampler,
        steps=args.steps,
        candidates=args.candidates,
        tokens_per_step=args.tokens_per_step,
        temperature=args.temperature,
        nucleus=args.nucleus,
        top_k=args.top_k,
        remask=args.remask,
        eta=args.eta,
        t_on=args.t_on,
        t_off=args.t_off,
        alpha_on=args.alpha_on,
        stride=args.stride,
        block_size=args.block_size,
        label=args.label,
        guidance=args.guidance,
        classifier=args.classifier,
        classifier_steps=args.classifier_steps,
    )
    return checked(walk)
