"""Which operators a run has, and on which resources of the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.build import ChainPart, cut_chain

from .attempts import Attempts
from .operators import PredictCoarse, RefineStages, RefineStagesInActor
from .rows import RowOperator, Setting

ACTOR_CPUS, TASK_CPUS = 0.45, 0.01
"""By which Ray counts. Two actors fit on a CPU and leave something to those that read and write, also when half of the
machines were taken away and their actors crowd on the others: with whole CPUs the run would stand still."""
GPU_DEVICE = 'cuda'
"""Of operators that have a GPU, or a part of one."""
TASKS, TASKS_FOR_GPU = 1, 2
"""Processes that read, and that write, for each one that refines. More than there are CPUs would not stay: Ray ends
those that wait, and each imports torch anew."""
CALLS = 2
"""Tasks of a worker at once: Ray unpacks or packs the rows of one while those of the other are refined. The operator
itself runs in one thread."""


@dataclass(frozen=True)
class Resources:
    """What a run may take.

    Attributes:
        batch_size: rows a task.
        num_gpus: GPUs a worker, in [0, 1]; 0 for the CPU. Operators that need one share it.
        concurrency: workers, each with its own refiner.
    """

    batch_size: int = 8
    num_gpus: float = 0
    concurrency: int = 1

    @property
    def all_gpus(self) -> float:
        """Of all workers."""
        return self.num_gpus * self.concurrency

    def __post_init__(self) -> None:
        for name in ('batch_size', 'concurrency'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}: expected at least 1, got {getattr(self, name)}')
        if not 0 <= self.num_gpus <= 1:
            raise ValueError(f'num_gpus: expected 0 to 1, since a refiner runs on one GPU, got {self.num_gpus}')


class Pipeline:
    """Adds operators to datasets."""

    def __init__(self, setting: Setting, resources: Resources, ledger: ActorHandle) -> None:
        self.setting, self.resources, self.ledger = setting, resources, ledger

    def in_tasks(self, dataset: Dataset, operator: type[RowOperator], **options: Any) -> Dataset:
        """Adds an operator that reads, writes or counts."""
        done = operator(self.setting, self._attempts(operator), **options)
        each = TASKS_FOR_GPU if self.resources.num_gpus else TASKS
        tasks = TaskPoolStrategy(size=max(1, each * self.resources.concurrency))
        return dataset.map_batches(done, compute=tasks, batch_size=self.resources.batch_size, num_cpus=TASK_CPUS)

    def in_actors(
        self, dataset: Dataset, operator: type[RowOperator], num_gpus: float, *, alone: bool = True, **options: Any
    ) -> Dataset:
        """Adds an operator whose processes keep a model; `alone` where it is the only one of its pipeline."""
        most = self.resources.concurrency
        # of several operators the first would take all that the cluster has, and the next wait for it without end:
        # each begins with one process, and Ray adds to the one that is behind (not with more calls at a time)
        pool: dict[str, Any] = (
            dict(size=most, max_concurrent_calls_per_actor=CALLS) if alone else dict(min_size=1, max_size=most)
        )
        return dataset.map_batches(
            operator,
            fn_constructor_args=(self.setting, self._attempts(operator)),
            fn_constructor_kwargs=options,
            compute=ActorPoolStrategy(**pool, max_tasks_in_flight_per_actor=CALLS),
            batch_size=self.resources.batch_size,
            num_cpus=ACTOR_CPUS,
            num_gpus=num_gpus,
        )

    def refined(
        self,
        dataset: Dataset,
        refiner: Mapping[str, Any],
        coarse: 'Mapping[str, Any] | None' = None,
        *,
        ends: bool = False,
    ) -> Dataset:
        """Adds the coarse source, if there is one, and the refiners of a chain, cut where it leaves the GPU.

        With `ends` rows leave with a report.
        """
        parts, gpus = cut_chain(refiner), self.resources.num_gpus
        if not gpus:  # all of it runs in one place, and rows need not travel
            parts = [ChainPart([stage for part in parts for stage in part.stages], False)]
        models = sum(not part.on_cpu for part in parts) + (coarse is not None)
        gpus /= max(1, models)
        device = GPU_DEVICE if gpus else 'cpu'
        if coarse is not None:
            dataset = self.in_actors(dataset, PredictCoarse, gpus, alone=models == 1, config=coarse, device=device)
        for part in parts:
            options: dict[str, Any] = dict(part=part, class_options=dict(refiner.get('classes') or {}))
            options['ends'] = ends and part is parts[-1]
            if part.on_cpu:
                stages = RefineStages(self.setting, self._attempts(RefineStages), **options)
                # as many as there are CPUs: a dense CRF takes longer than a GPU's part of the image
                dataset = dataset.map_batches(stages, batch_size=self.resources.batch_size, num_cpus=ACTOR_CPUS)
            else:
                dataset = self.in_actors(
                    dataset, RefineStagesInActor, gpus, alone=models == 1, **options, device=device
                )
        return dataset

    def _attempts(self, operator: type[RowOperator]) -> Attempts:
        # of its own name: a chain may have the same operator twice, and an image be under way in both
        return Attempts(self.ledger, f'{operator.__name__} {uuid4().hex}')


def check_classes(refiner: Mapping[str, Any], classes: ClassList) -> None:
    """Raises ValueError where a refiner's config does not fit the classes, before any process is started."""
    cut_chain(refiner)
    classes.with_options(dict(refiner.get('classes') or {}))
