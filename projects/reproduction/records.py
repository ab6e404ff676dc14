"""What a table of the paper is made of: its rows, and the run of this project that gives each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WEIGHTS = 'https://mmassets.onedl.ai/mmsegmentation/v0.5/'


@dataclass(frozen=True)
class ConfigRun:
    """A run of `tools/test.py`.

    Attributes:
        config: under `configs/`.
        weights: address of the coarse model's checkpoint below `WEIGHTS`; none for saved scores.
        options: of G4Seg, by dotted key, over the config.
    """

    config: str
    weights: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return WEIGHTS + self.weights


@dataclass(frozen=True)
class SeedRun:
    """A run of `tools/refine_masks.py` over a method's seeds on VOC12's training images.

    Attributes:
        seeds: name of their folder under the data folder.
        format: of the files.
        background_rule: as the tool takes it.
        options: of the refiner, by dotted key, over Stable Diffusion's config.
    """

    seeds: str
    format: str
    background_rule: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: of the coarse model, data set and refiner.
        coarse: the paper's figure of the coarse masks; None where it gives none.
        refined: the paper's figure; None for a run that the paper has not.
        run: what gives ours; None where the project cannot.
        lacks: what the project does not have, in words, where `run` is None.
        metric: what the figures are.
    """

    name: str
    coarse: float | None
    refined: float | None
    run: ConfigRun | SeedRun | None = None
    lacks: str = ''
    metric: str = 'mIoU'


@dataclass(frozen=True)
class Table:
    """Attributes:
    title: what it compares.
    rows: its runs.
    number: the paper's, where known here.
    """

    title: str
    rows: tuple[Row, ...]
    number: str = ''
