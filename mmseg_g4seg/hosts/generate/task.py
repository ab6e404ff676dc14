"""What a run is asked to generate."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmseg_g4seg.coarse.attention import AttentionSource
from mmseg_g4seg.coarse.generation import PairGenerator
from mmseg_g4seg.io.class_files import distinct_classes
from mmseg_g4seg.io.storage import AnyPath
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import build


@dataclass(frozen=True)
class GenerateTask:
    """What is generated, and how; all of it can be sent to another process.

    Attributes:
        out: folder of the data set.
        classes: of the masks.
        count: of pictures.
        source: config of the source that reads the attention, and of its prior, such as
            `dict(type='SeeDiff', prior='tiny')`.
        options: of `PairGenerator`.
        device: that the prior runs on.
        threads: of each process on the CPU; another number changes the last bits of floats.
    """

    out: AnyPath
    classes: ClassList
    count: int
    source: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = 'cpu'
    threads: int = 1

    def __post_init__(self) -> None:
        for name, value in (('count', self.count), ('threads', self.threads)):
            if value < 1:
                raise ValueError(f'{name}: expected at least 1, got {value}')
        distinct_classes(self.classes)

    def generator(self) -> PairGenerator:
        """Loads the prior.

        Raises:
            ValueError: if an option, a level or a class name does not fit the prior.
        """
        source = build(dict(self.source), AttentionSource, where='source').to(self.device)
        return PairGenerator(source, self.classes, **self.options)

    def settings(self) -> dict[str, Any]:
        """What the files follow from, as plain JSON; not the count, so that a data set can grow."""
        classes = self.classes
        settings = {
            'source': dict(self.source),
            'options': dict(self.options),
            'classes': classes.names,
            'background_index': classes.background,
        }
        # lists for tuples: they are compared with those of an earlier run, which come from its report
        return dict(json.loads(json.dumps(settings, default=str)))
