"""The section of a configuration that describes the network and the windows it reads."""

from dataclasses import dataclass, fields

from dnadiff.schema.checks import choice, number, require

BACKBONES = ("dit", "caduceus", "llama", "gpt2", "bert")
_OWNERS = {  # key -> the networks that have a use for it
    "n_heads": ("dit", "llama", "gpt2", "bert"),
    "dropout": ("dit",),
    "stem": ("dit",),
    "n_kv_heads": ("llama",),
    "mlp_size": ("llama", "gpt2", "bert"),
    "positions": ("gpt2", "bert"),
    "rope_base": ("llama",),
    "norm_eps": ("llama", "gpt2", "bert"),
    "tied": ("llama",),
    "segments": ("bert",),
}


@dataclass
class ModelConfig:
    """The size of the network and of the windows it reads.

    Attributes:
        backbone: ``dit``: the transformer. ``caduceus``: bidirectional Mamba, whose cost grows with the window and not
            with its square. ``llama`` and ``gpt2``: decoders of language models. ``bert``: an encoder of one.
        hidden_size: Width D.
        n_blocks: Layers.
        n_heads: Attention heads; each is D / n_heads wide, which must be even (dit, llama, gpt2, bert).
        cond_dim: Width of the conditioning vector.
        dropout: Probability of dropout in training (dit).
        adaln: Adaptive layer norm conditioned on the noise level.
        stem: Width of a convolution over the embeddings, odd; 0 is none (dit).
        rc: Read both strands, so that a window and its reverse complement have the same likelihood, whatever was
            learned; takes twice the time (dit, caduceus).
        n_kv_heads: Heads of keys and values, a divisor of n_heads; 0 is n_heads (llama).
        mlp_size: Inner width of the MLP; 0 is the usual one (llama, gpt2, bert).
        positions: Longest sequence, whose positions are learned; 0 is ``length`` (gpt2, bert).
        rope_base: Base of the rotary angles (llama).
        norm_eps: What the norms add before they divide (llama, gpt2, bert).
        tied: Whether the head is the embedding (llama).
        segments: Whether the second of a pair of sentences has an embedding, learned in fine-tuning (bert).
        length: Tokens in a window.
    """

    backbone: str = "dit"
    hidden_size: int = 128
    n_blocks: int = 4
    n_heads: int = 4
    cond_dim: int = 128
    dropout: float = 0.0
    adaln: bool = True
    stem: int = 0
    rc: bool = False
    n_kv_heads: int = 0
    mlp_size: int = 0
    positions: int = 0
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    tied: bool = True
    segments: bool = False
    length: int = 512

    def __post_init__(self) -> None:
        choice("model.backbone", self.backbone, BACKBONES)
        for key in ("hidden_size", "n_blocks", "n_heads", "cond_dim"):
            number(f"model.{key}", getattr(self, key), 1)
        number("model.length", self.length, 4)
        number("model.dropout", self.dropout, 0.0, 0.999)
        number("model.stem", self.stem, 0)
        odd_stem = self.stem == 0 or self.stem % 2 == 1
        require(odd_stem, f"model.stem={self.stem}: is centred on a base, so its width is odd; 0 is none")
        for key in ("n_kv_heads", "mlp_size", "positions"):
            number(f"model.{key}", getattr(self, key), 0)
        for key in ("rope_base", "norm_eps"):
            number(f"model.{key}", getattr(self, key), 0.0, open_low=True)
        self._check_owners()
        if self.backbone in _OWNERS["n_heads"]:
            self._check_heads()
        rows = self.positions == 0 or self.positions >= self.length
        require(rows, f"model.positions={self.positions}: is shorter than model.length={self.length}; give more, or 0")

    def _check_owners(self) -> None:
        for of in fields(self):
            owners, value = _OWNERS.get(of.name, BACKBONES), getattr(self, of.name)
            found = f"model.{of.name}={value}: belongs to model.backbone={' or '.join(owners)}"
            works = f"{of.default} would work, or model={self.backbone}"
            require(self.backbone in owners or value == of.default, f"{found}; {works}")
        modulated = not self.adaln or self.backbone in ("dit", "caduceus")
        require(modulated, f"model.adaln=true: model.backbone={self.backbone} has plain norms; set model.adaln=false")
        paired = not self.rc or self.backbone in ("dit", "caduceus")
        require(paired, f"model.rc=true: model.backbone={self.backbone} reads one strand; leave it out")

    def _check_heads(self) -> None:
        width, heads, groups = self.hidden_size, self.n_heads, self.n_kv_heads or self.n_heads
        require(width % heads == 0, f"model.hidden_size={width}: is not a multiple of model.n_heads={heads}")
        odd = f"model.hidden_size={width}: leaves heads {width // heads} wide with model.n_heads={heads}"
        require(width // heads % 2 == 0, f"{odd}; the rotary positions need an even width")
        require(heads % groups == 0, f"model.n_kv_heads={groups}: does not divide model.n_heads={heads}")

    @property
    def sees_right(self) -> tuple[str, str] | None:
        """What makes every position see those to its right, and what would not; None if nothing does."""
        if self.backbone == "caduceus":
            return f"model.backbone={self.backbone}: a network from both ends", "model.backbone=dit"
        if self.rc:
            return "model.rc=true: a network of both strands", "model.rc=false"
        return (f"model.stem={self.stem}: a stem", "model.stem=0") if self.stem else None
