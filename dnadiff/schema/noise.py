"""The section of a configuration that says how fast bases are masked or replaced."""

from dataclasses import dataclass

from dnadiff.schema.checks import choice, number, require

SIGMA_NOISES = ("linear", "geometric", "log_uniform")
NOISES = ("loglinear", "cosine", "cosine_squared", "square", "square_root", "log", *SIGMA_NOISES)


@dataclass
class NoiseConfig:
    """The noise schedule, used by the time estimator.

    Attributes:
        name: The schedule.
        eps: Share of the bases that is left at t = 1 (all but linear, geometric and log_uniform).
        sigma_min: Least noise (linear, geometric, log_uniform).
        sigma_max: Most noise (linear, geometric, log_uniform).
    """

    name: str = "loglinear"
    eps: float = 1e-3
    sigma_min: float = 1e-3
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        choice("noise.name", self.name, NOISES)
        number("noise.eps", self.eps, 0.0, 0.5)
        positive = self.eps > 0 or not self.name.startswith("cosine")
        require(positive, f"noise.eps=0: the {self.name} schedule needs an eps above 0")
        number("noise.sigma_min", self.sigma_min, 0.0)
        number("noise.sigma_max", self.sigma_max, 0.0, open_low=True)
        zero = self.name in ("geometric", "log_uniform") and self.sigma_min == 0
        require(not zero, f"noise.sigma_min=0: the {self.name} schedule needs a sigma_min above 0")
        ordered = self.sigma_min < self.sigma_max
        require(ordered, f"noise.sigma_min={self.sigma_min:g}: must be below noise.sigma_max={self.sigma_max:g}")

    @property
    def endless(self) -> bool:
        """Whether no base is left at t = 1, where the total noise is infinite then."""
        return self.eps == 0 and self.name not in SIGMA_NOISES

    @property
    def arguments(self) -> dict[str, float]:
        """What the schedule is made from besides its name."""
        keys = ("sigma_min", "sigma_max") if self.name in SIGMA_NOISES else ("eps",)
        return {key: getattr(self, key) for key in keys}
