"""The section of a configuration that names the method, and what each method can and cannot be combined with."""

from dataclasses import dataclass, field, fields

from dnadiff.schema.checks import choice, number, require

ALGOS = ("mdlm", "bd3lm", "d3pm", "sedd", "udlm", "ar", "mlm", "sundae")
ESTIMATORS = ("auto", "count", "time")

_OWNERS = {  # key -> the methods that have a use for it
    "T": ("mdlm", "d3pm"),
    "carry_over": ("mdlm",),
    "zero_mask": ("mdlm",),
    "subs_masking": ("d3pm",),
    "importance_sampling": ("mdlm",),
    "complementary": ("mdlm",),
    "block_sizes": ("bd3lm",),
    "clip": ("bd3lm",),
    "clip_search": ("bd3lm",),
    "shift": ("mdlm", "bd3lm"),
    "grow": ("bd3lm",),
    "opening": ("mdlm",),
    "opening_by": ("mdlm",),
    "ar_weight": ("mdlm", "bd3lm"),
}
OPENINGS = ("random", "reach")


@dataclass
class AlgoConfig:
    """The method: what is corrupted, what the network predicts, and what it is trained with.

    Attributes:
        name: ``mdlm``: masked diffusion (Sahoo et al. 2024). ``bd3lm``: the same within blocks, from left to right
            over blocks (Arriola et al. 2025). ``d3pm``: in ``T`` steps without what SUBS substitutes (Austin et al.
            2021). ``sedd``: score entropy (Lou et al. 2023). ``udlm``: uniform noise instead
            of masks (Schiff et al. 2024). ``ar``: the same transformer, from left to right. ``mlm``: 15 % of the bases
            hidden or falsified (Devlin et al. 2019). ``sundae``: bases falsified and repaired twice (Savinov et al.
            2022), which AR2Diff makes of autoregressive models (Han et al. 2024).
        T: Time steps of the bound; 0 is continuous time (mdlm, d3pm).
        carry_over: Copy bases that are not masked; false is an ablation (mdlm).
        zero_mask: Give the mask no probability; false is an ablation (mdlm).
        subs_masking: Give the mask no probability, as upstream's switch (d3pm).
        importance_sampling: Train on low noise more often, at less weight: times so that every mask rate is as likely
            on a logarithmic scale, or, with estimator=count, k masks about as 1 / sqrt(k) (mdlm).
        complementary: Read every window twice running, and mask the second time what was shown the first and one base
            more (mdlm, estimator=count).
        block_sizes: Train every step on blocks of one of these sizes, so that one model goes with all of them; empty:
            of ``block_size``, which is also what the model is scored and sampled with (bd3lm).
        clip: Lowest and highest noise level to train on, as numbers of masked bases of a block (estimator=count) or as
            times (estimator=time); empty: all (bd3lm).
        clip_search: Choose ``clip`` anew at every validation, by how much the loss of a block varies (bd3lm).
        shift: Let the network speak of a base at the position before it, as one that was trained from left to right
            (mdlm, bd3lm).
        grow: Steps during which blocks double from 1 to ``block_size``; 0 has them of that size at once (bd3lm).
        opening: Steps during which attention opens from causal to full; 0 has it full at once (mdlm).
        opening_by: ``random``: a growing random share of what lies right. ``reach``: a growing stretch of it (mdlm).
        ar_weight: Weight of the loss of predicting every base from those to its left, which keeps that ability; 0 is
            none (mdlm, bd3lm).
        prefix: Cut every window at a random place: what lies left is given, and only what lies right of it is learned,
            scored and sampled.
    """

    name: str = "mdlm"
    T: int = 0
    carry_over: bool = True
    zero_mask: bool = True
    subs_masking: bool = False
    importance_sampling: bool = False
    complementary: bool = False
    block_sizes: list[int] = field(default_factory=list)
    clip: list[float] = field(default_factory=list)
    clip_search: bool = False
    shift: bool = False
    grow: int = 0
    opening: int = 0
    opening_by: str = "random"
    ar_weight: float = 0.0
    prefix: bool = False

    def __post_init__(self) -> None:
        choice("algo.name", self.name, ALGOS)
        for key in ("T", "grow", "opening", "ar_weight"):
            number(f"algo.{key}", getattr(self, key), 0)
        choice("algo.opening_by", self.opening_by, OPENINGS)
        defaults = {of.name: of.default for of in fields(self)}
        for key, owners in _OWNERS.items():
            value = getattr(self, key)
            ours = self.name in owners or value in (defaults[key], [])
            shown = str(value).lower() if isinstance(value, bool) else value
            require(
                ours, f"algo.{key}={shown}: belongs to algo={' or '.join(owners)}; leave it out of algo={self.name}"
            )
        require(self.name != "d3pm" or self.T > 0, "algo.T=0: d3pm takes steps; algo.T=1000 would work")
        plain = not (self.opening or self.ar_weight) or (self.carry_over and self.zero_mask and not self.T)
        plain = plain and not ((self.opening or self.ar_weight) and self.importance_sampling)
        require(plain, "algo.opening and algo.ar_weight: go with the plain bound; leave the other keys of algo out")
        alone = not self.complementary or not (self.opening or self.T or self.importance_sampling)
        require(alone, "algo.complementary=true: goes with the plain bound; leave the other keys of algo out")
        steps = f"algo.importance_sampling=true: draws times, and algo.T={self.T} has steps; leave one out"
        require(not (self.importance_sampling and self.T), steps)


def check_blocks(algo: AlgoConfig, block_size: int | None, estimator: str, length: int) -> None:
    """Nothing if the block size fits the method and the window, and the rest of the section fits the block size.

    Raises:
        InputError: It does not, with the reason.
    """
    if algo.name != "bd3lm":
        none = f"block_size={block_size}: belongs to algo=bd3lm; leave it out of algo={algo.name}"
        require(block_size is None, none)
        return
    require(block_size is not None, "block_size=null: algo=bd3lm predicts blocks; block_size=16 would work")
    number("block_size", block_size, 1, length)
    for size in algo.block_sizes:
        number("algo.block_sizes", size, 1, length)
    many = f"algo.block_sizes={algo.block_sizes}"
    has = not algo.block_sizes or block_size in algo.block_sizes
    require(has, f"{many}: lacks block_size={block_size}, which the model is scored with; add it")
    searched, clipped = algo.clip_search, bool(algo.clip)
    one = not (algo.block_sizes and (searched or clipped))
    require(
        one, f"{many}: needs all noise levels, whose best part differs by size; leave algo.clip and clip_search out"
    )
    require(not (searched and clipped), "algo.clip_search=true: chooses algo.clip itself; leave one out")
    grown = not (algo.grow and (searched or clipped or algo.block_sizes))
    require(
        grown, f"algo.grow={algo.grow}: has blocks of its own sizes; leave algo.block_sizes, clip and clip_search out"
    )
    require(
        not (algo.ar_weight and searched),
        f"algo.ar_weight={algo.ar_weight:g}: has no noise levels to search; leave algo.clip_search out",
    )
    if clipped:
        _check_clip(algo.clip, block_size, estimator)


def _check_clip(clip: list[float], block_size: int, estimator: str) -> None:
    ordered = len(clip) == 2 and clip[0] <= clip[1]
    require(ordered, f"algo.clip={clip}: give the lowest and the highest noise level, such as [1,{block_size}]")
    if estimator == "time":
        times = 0 < clip[0] and clip[1] <= 1
        require(times, f"algo.clip={clip}: give times above 0, at most 1")
    else:
        whole = all(level == int(level) for level in clip) and 1 <= clip[0] and clip[1] <= block_size
        require(whole, f"algo.clip={clip}: give whole numbers of masked bases from 1 to {block_size}")


def check_algo(
    algo: AlgoConfig, estimator: str, time_conditioning: bool, *, bos: bool, sees_right: tuple[str, str] | None
) -> None:
    """Nothing if a method can work with these settings of other sections.

    Args:
        algo: The method.
        estimator: As configured.
        time_conditioning: As configured.
        bos: Whether windows begin with [BOS].
        sees_right: What makes the network see bases to the right, and what would not; None if nothing does.

    Raises:
        InputError: It cannot, with the reason.
    """
    name = algo.name
    choice("estimator", estimator, ESTIMATORS)
    refused = _no_count(algo) if estimator == "count" else _no_time(algo) if estimator == "time" else None
    require(refused is None, f"estimator={estimator}: {refused}")
    timeless = name in ("ar", "mlm") and time_conditioning
    require(not timeless, f"time_conditioning=true: algo={name} has no noise level; leave it out")
    from_left = next((key for key in ("shift", "opening", "ar_weight") if getattr(algo, key)), None)
    if name in ("ar", "bd3lm") or from_left:
        shown = f"algo={name}" if name in ("ar", "bd3lm") else f"algo.{from_left}"
        what = "every block" if name == "bd3lm" else "every base"
        require(bos, f"data.bos=false: {shown} predicts {what} from those before it and begins with [BOS]")
        cause, works = sees_right or ("", "")
        require(not cause, f"{cause} sees bases to the right, which {shown} predicts; {works} would work")


def chosen_estimator(algo: AlgoConfig, estimator: str) -> str:
    """What ``auto`` stands for: ``count`` or ``time``; it stays ``auto`` where nothing is estimated."""
    if estimator != "auto" or algo.name == "ar":
        return estimator
    return "count" if _no_count(algo) is None else "time"


def _no_count(algo: AlgoConfig) -> str | None:
    """Why a method cannot draw the number of masks; None if it can."""
    reasons = {
        "sedd": "sedd learns ratios at a time and needs to draw one",
        "udlm": "udlm replaces bases and masks none, so there is nothing to count",
        "sundae": "sundae falsifies bases and masks none, so there is nothing to count",
        "ar": "the likelihood of ar is exact and estimates nothing",
    }
    if algo.name in reasons:
        return f"{reasons[algo.name]}; leave it out"
    if algo.T:
        return f"algo.T={algo.T} has steps, which counting masks does away with; leave it out"
    return None


def _no_time(algo: AlgoConfig) -> str | None:
    """Why a method cannot draw a time; None if it can."""
    reasons = {
        "ar": "the likelihood of ar is exact and estimates nothing; leave it out",
        "mlm": "mlm hides 15 % of the bases at no time; leave it out",
    }
    if algo.complementary:
        return "algo.complementary=true complements numbers of masks; estimator=count would work"
    return reasons.get(algo.name)
