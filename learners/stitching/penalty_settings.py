"""How penalties are measured: everything that their values hang on beside the two models."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite

from learners.stitching.joint_training import JointTraining
from schemas.errors import UsageError

LEAST_SQUARES = "least squares"
TRAINED = "trained"
MOST_SEED = 2**63 - 1
HELD_OUT = ("test", "validation")


@dataclass(frozen=True)
class PenaltySettings:
    """How penalties are measured."""

    cuts: tuple[int | str, ...] = ()
    """Cuts of the ends, by number or name; all of them if there are none."""
    training: JointTraining | None = None
    """How joints are trained, if trained ones are measured beside those of least squares."""
    fit_samples: int = 2000
    """Training samples that joints are fitted to and trained on."""
    held_out: str = "test"
    """The part of the data that penalties are measured on."""
    held_out_samples: int | None = None
    """How many of them; all without it."""
    ridge: float = 0.0
    """See `learners.stitching.least_squares.Regressors`."""
    seed: int = 0
    """Which samples are drawn hangs on it."""

    @property
    def joints(self) -> tuple[str, ...]:
        """The kinds of joints that are measured."""
        return (LEAST_SQUARES, TRAINED) if self.training else (LEAST_SQUARES,)

    def identity(self, joint: str) -> Mapping[str, object]:
        """What the penalty of one kind of joint hangs on, but for the cuts and what has columns of its own."""
        fitted: dict[str, object] = {"joint": joint, "ridge": self.ridge, "fit_samples": self.fit_samples}
        return fitted if joint == LEAST_SQUARES or not self.training else fitted | {"training": asdict(self.training)}

    def check(self) -> None:
        """Raise UsageError if a value cannot be."""
        if self.held_out not in HELD_OUT:
            raise UsageError(f"held_out = {self.held_out!r}: expected one of {', '.join(HELD_OUT)}")
        if not (isfinite(self.ridge) and self.ridge >= 0):
            raise UsageError(f"ridge = {self.ridge}: ridge must be a finite number that is not negative")
        if not -MOST_SEED <= self.seed <= MOST_SEED:
            raise UsageError(f"seed = {self.seed}: expected a whole number of at most 63 bits")
        counts = {"fit_samples": self.fit_samples, "held_out_samples": self.held_out_samples}
        if self.training:
            counts |= {"epochs": self.training.epochs, "batch_size": self.training.batch_size}
            if not (isfinite(self.training.learning_rate) and self.training.learning_rate > 0):
                raise UsageError(f"learning_rate = {self.training.learning_rate}: expected a number above 0")
        for name, value in counts.items():
            if value is not None and value < (2 if name.endswith("samples") else 1):
                raise UsageError(f"{name} = {value}: expected at least {2 if name.endswith('samples') else 1}")
