"""Runs a user's own training script with a refiner behind its model, without a change to either."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators
from torch import nn

from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .config import OUTPUTS, check_outputs, check_soften
from .evaluator import BeforeRefinement, RefinementEvaluator
from .model import RefinedModel, read_refiner


@dataclass(frozen=True)
class Refinement:
    """What goes behind a script's model; a dataclass, so that it reaches the processes of a launch.

    Attributes:
        refiner: what `load_refiner` takes; or built.
        score_type: what `sem_seg` holds, or `auto`.
        outputs: which are refined.
        soften: how wide borders of hard segments and of instances are unsure, see `refine_panoptic`.
    """

    refiner: 'str | Refiner | None'
    score_type: str = 'auto'
    outputs: Sequence[str] = OUTPUTS[:1]
    soften: float = SEGMENT_BORDER

    def behind(self, model: nn.Module, cfg: CfgNode) -> RefinedModel:
        """Puts the refiner behind a script's model; a config with the node has built a refined one itself."""
        return RefinedModel(
            model.model if isinstance(model, RefinedModel) else model,
            self.refiner,
            input_format=cfg.INPUT.FORMAT,
            dataset=cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else '',
            score_type=self.score_type,
            outputs=self.outputs,
            soften=self.soften,
        )


def run_script(script: Path, args: Namespace, refinement: Refinement) -> Any:
    """Calls a script's `main(args)` with a refined model; what `detectron2.engine.launch` runs in every process.

    Args:
        script: such as Detectron2's or Mask2Former's `train_net.py`.
        args: as `default_argument_parser` gives them.
        refinement: what goes behind the model.

    Returns:
        What the script returns: the results of its evaluation.

    Raises:
        FileNotFoundError: if there is no such script, or no such refiner.
        ValueError: if the script has no `main` or no trainer, or an option is not known.
    """
    # before the script, which builds its model first: a misspelt name should not cost that
    refinement = replace(
        refinement,
        refiner=read_refiner(refinement.refiner),
        outputs=check_outputs(refinement.outputs),
        soften=check_soften(refinement.soften),
    )
    module = _load(script)
    trainer = _find_trainer(module, script)
    setattr(module, trainer.__name__, refined_trainer(trainer, refinement))
    results = module.main(args)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # Detectron2's launch leaves gloo's threads running; now and then they abort a process that is done
        torch.distributed.destroy_process_group()
    return results


def refined_trainer(trainer: type[DefaultTrainer], refinement: Refinement) -> type[DefaultTrainer]:
    """A trainer that refines what the model of another one predicts, and evaluates it before and after.

    Args:
        trainer: with `build_evaluator`, as the scripts have it.
        refinement: what goes behind its model.
    """

    base: Any = trainer  # a class that only the script knows

    class RefinedTrainer(base):
        _augmented: RefinedModel | None = None

        @classmethod
        def build_model(cls, cfg: CfgNode) -> RefinedModel:
            return refinement.behind(super().build_model(cfg), cfg)

        @classmethod
        def build_evaluator(cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None) -> DatasetEvaluator:
            folder = Path(output_folder or Path(cfg.OUTPUT_DIR) / 'inference')
            build = super().build_evaluator
            after, before = (_build(build, cfg, dataset_name, path) for path in (folder, folder / 'coarse'))
            ours = RefinementEvaluator(dataset_name, folder / 'refinement', measures=refinement.outputs)
            # the script's last: COCOPanopticEvaluator rewrites what the others would read
            return DatasetEvaluators([ours, BeforeRefinement(before), after])

        @classmethod
        def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> Any:
            # what a script's test_with_TTA has built around the plain model
            return super().test(cfg, cls._augmented.around(model) if cls._augmented else model, evaluators)

        @classmethod
        def test_with_TTA(cls, cfg: CfgNode, model: Any) -> Any:
            refined: RefinedModel = getattr(model, 'module', model)
            cls._augmented = refined
            try:
                return super().test_with_TTA(cfg, refined.model)
            finally:
                cls._augmented = None

    return RefinedTrainer


def _build(build: Callable[..., DatasetEvaluator], cfg: CfgNode, dataset_name: str, folder: Path) -> DatasetEvaluator:
    """Builds a script's evaluator that writes into a folder: a second one must not replace the files of the first."""
    if 'output_folder' in signature(build).parameters:
        return build(cfg, dataset_name, str(folder))
    own = cfg.clone()
    own.defrost()
    own.OUTPUT_DIR = str(folder)
    own.freeze()
    return build(own, dataset_name)


def _load(script: Path) -> ModuleType:
    if not script.is_file():
        raise FileNotFoundError(f'script: no such file: {script}; expected a train_net.py')
    # as Python does for a script that it runs: those of projects import what lies beside them
    sys.path.insert(0, str(script.resolve().parent))
    spec = spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ValueError(f'script: expected a Python file, got {script}')
    module = module_from_spec(spec)
    # under its name: data loaders pickle what it defines
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    return module


def _find_trainer(module: ModuleType, script: Path) -> type[DefaultTrainer]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DefaultTrainer) and value.__module__ == module.__name__
    ]
    if not own or not callable(getattr(module, 'main', None)):
        raise ValueError(
            f'{script}: expected main(args) and a class Trainer(DefaultTrainer), as the train_net.py of Detectron2 has '
            'them; of a LazyConfig script the config is edited, see docs/guides/detectron2.md'
        )
    return next((trainer for trainer in own if trainer.__name__ == 'Trainer'), own[-1])
