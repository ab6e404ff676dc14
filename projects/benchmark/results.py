"""What a benchmark found, as numbers: seconds, bytes and FLOPs of one image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PathCost:
    """One way to refine an image, measured.

    Attributes:
        path: `batched`, `joint` or `loop`.
        classes: K.
        runs: that were timed.
        seconds: by stage, of the run whose total is the median; they sum to `total_seconds`.
        flops: by stage.
        peak_bytes: most memory in use, None where the system does not tell.
        held_bytes: memory in use before the run.
    """

    path: str
    classes: int
    runs: int
    seconds: Mapping[str, float]
    flops: Mapping[str, float]
    peak_bytes: int | None
    held_bytes: int | None

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def total_flops(self) -> float:
        return sum(self.flops.values())


@dataclass(frozen=True)
class PathPair:
    """Two ways to refine the same image, compared.

    Attributes:
        path: compared with `batched`.
        classes: K.
        speedup: of `batched`, images per second over images per second.
        speedup_without_decoding: the same, the time of decoding latents left out of both.
        equal_labels: share of pixels where both label maps agree.
        changed_labels: share of pixels whose label `batched` changed.
        largest_difference: of two probabilities.
    """

    path: str
    classes: int
    speedup: float
    speedup_without_decoding: float
    equal_labels: float
    changed_labels: float
    largest_difference: float


@dataclass(frozen=True)
class InjectionCost:
    """One pass of the denoiser, plain and with masks injected; `images` go through it at once."""

    classes: int
    images: int
    plain_seconds: float
    injected_seconds: float
    plain_flops: float
    injected_flops: float

    @property
    def overhead(self) -> float:
        """Share of the plain pass's time that injection adds."""
        return self.injected_seconds / self.plain_seconds - 1


@dataclass(frozen=True)
class TextCost:
    """Encoding the prompts of K classes the first time, and finding them again."""

    classes: int
    cold_seconds: float
    warm_seconds: float


@dataclass(frozen=True)
class ComparisonCost:
    """Another refiner on the same masks: seconds, or what is missing to run it."""

    name: str
    classes: int
    runs: int = 0
    seconds: float | None = None
    missing: str | None = None


@dataclass
class Report:
    """A whole benchmark.

    Attributes:
        setting: what was asked for, and of which machine: texts and numbers.
        matrix_rate: measured on matrix products in the prior's dtype, FLOP/s.
        parameters: of each network of the prior.
    """

    setting: dict[str, Any]
    matrix_rate: float
    parameters: dict[str, int]
    paths: list[PathCost] = field(default_factory=list)
    pairs: list[PathPair] = field(default_factory=list)
    injection: list[InjectionCost] = field(default_factory=list)
    text: list[TextCost] = field(default_factory=list)
    comparisons: list[ComparisonCost] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
