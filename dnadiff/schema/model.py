"""The section of a configuration that describes the network and the windows it reads."""

from dataclasses import dataclass, fields

from dnadiff.schema.checks import choice, number, require

BACKBONES = ("dit", "caduceus")
_OF_DIT = ("n_heads", "dropout", "stem")  # keys that only the transformer has a use for


@dataclass
class ModelConfig:
    """The size of the network and of the windows it reads.

    Attributes:
        backbone: ``dit``: the transformer. ``caduceus``: bidirectional Mamba, whose cost grows with the window and not
            with its square.
        hidden_size: Width D.
        n_blocks: Layers.
        n_heads: Attention heads; each is D / n_heads wide, which must be even (dit).
        cond_dim: Width of the conditioning vector.
        dropout: Probability of dropout in training (dit).
        adaln: Adaptive layer norm conditioned on the noise level.
        stem: Width of a convolution over the embeddings, odd; 0 is none (dit).
        rc: Read both strands, so that a window and its reverse complement have the same likelihood, whatever was
            learned; takes twice the time.
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
        self._check_dit() if self.backbone == "dit" else self._check_other()

    def _check_dit(self) -> None:
        width, heads = self.hidden_size, self.n_heads
        require(width % heads == 0, f"model.hidden_size={width}: is not a multiple of model.n_heads={heads}")
        odd = f"model.hidden_size={width}: leaves heads {width // heads} wide with model.n_heads={heads}"
        require(width // heads % 2 == 0, f"{odd}; the rotary positions need an even width")

    def _check_other(self) -> None:
        defaults = {of.name: of.default for of in fields(self)}
        for key in _OF_DIT:
            value, default = getattr(self, key), defaults[key]
            found = f"model.{key}={value}: belongs to model.backbone=dit"
            require(value == default, f"{found}; {default} would work, or model={self.backbone}")

    @property
    def sees_right(self) -> tuple[str, str] | None:
        """What makes every position see those to its right, and what would not; None if nothing does."""
        if self.backbone != "dit":
            return f"model.backbone={self.backbone}: a network from both ends", "model.backbone=dit"
        if self.rc:
            return "model.rc=true: a network of both strands", "model.rc=false"
        return (f"model.stem={self.stem}: a stem", "model.stem=0") if self.stem else None
