"""What a run needs on this machine, where it is expected, and how one gets it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..diffusion.loading import EMBEDDED_PRIORS
from ..mmseg.mmdetection import register_mmdetection
from .paper import ConfigRun, SeedRun

VOC = Path('VOCdevkit/VOC2012')


@dataclass(frozen=True)
class Need:
    """Attributes:
    what: data, checkpoint, prior, package, in words.
    where: path or name at which it is expected.
    found: whether it is there.
    how: what to do where it is not.
    """

    what: str
    where: str
    found: bool
    how: str = ''


def config_needs(run: ConfigRun, config: Config, checkpoint: Path | None, *, download: bool) -> list[Need]:
    """Needs of a run of `tools/test.py`.

    Args:
        run: the row's.
        config: its config, with all options in it.
        checkpoint: expected file of the coarse model's weights.
        download: whether models may be fetched from their hub.
    """
    needs = list(_data(config))
    if checkpoint is not None:
        needs.append(Need('checkpoint', str(checkpoint), checkpoint.is_file(), f'download {run.address}'))
    model = config.model.get('segmentor', config.model)
    if model.type == 'SavedScoresSegmentor':
        folder = Path(model.scores_dir)
        needs.append(Need('scores', str(folder), folder.is_dir(), "the README of the config's folder says how"))
    try:
        register_mmdetection(model)
    except ImportError as error:
        needs.append(Need('package', 'MMDetection with mmcv operators', False, str(error)))
    return [*needs, *refiner_needs(config.model.get('refiner') or {}, download=download)]


def seed_needs(run: SeedRun, refiner: dict[str, Any], data: Path, *, download: bool) -> list[Need]:
    """Needs of a run of `tools/refine_masks.py` over seeds.

    Args:
        run: the row's.
        refiner: its config.
        data: the folder of data sets.
        download: whether models may be fetched from their hub.
    """
    images, labels, seeds = data / VOC / 'JPEGImages', data / VOC / 'SegmentationClass', data / 'seeds' / run.seeds
    return [
        Need('images', str(images), images.is_dir(), 'unpack VOCtrainval_11-May-2012.tar'),
        Need('labels', str(labels), labels.is_dir(), 'unpack VOCtrainval_11-May-2012.tar'),
        Need('seeds', str(seeds), seeds.is_dir(), f'files of the format {run.format}, as the method saves them'),
        *refiner_needs(refiner, download=download),
    ]


def refiner_needs(refiner: dict[str, Any], *, download: bool) -> Iterator[Need]:
    """Models and packages of a refiner, or of every refiner of a chain."""
    kind = refiner.get('type')
    for part in refiner.get('refiners', ()):
        yield from refiner_needs(part, download=download)
    if kind == 'G4SegRefiner':
        yield _prior(str(refiner['prior']), download=download)
        features = refiner.get('features')
        if isinstance(features, dict) and features.get('type') == 'open_clip':
            yield _package('open_clip', 'clip')
    elif kind == 'DenseCRFRefiner':
        yield _package('pydensecrf', 'crf')
    elif kind == 'CascadePSPRefiner':
        yield _package('segmentation_refinement', 'cascadepsp')
        path = Path(refiner['weights'])
        yield Need('weights of CascadePSP', str(path), path.is_file(), "its authors' release, saved there")


def _data(config: Config) -> Iterator[Need]:
    dataset = config.test_dataloader.dataset
    for kind, prefix in (('images', 'img_path'), ('labels', 'seg_map_path')):
        folder = Path(dataset.get('data_root', '')) / dataset.data_prefix[prefix]
        how = f'{dataset.type}; tools/check_dataset.py says what else is wrong'
        yield Need(kind, str(folder), folder.is_dir(), how)


def _prior(name: str, *, download: bool) -> Need:
    if name in EMBEDDED_PRIORS or Path(name).expanduser().is_dir():
        return Need('prior', name, True)
    if download or _is_cached(name):
        return Need('prior', f'{name} (hub)', True)
    return Need('prior', name, False, '--prior FOLDER in diffusers layout, or --download')


def _is_cached(name: str) -> bool:
    """Whether a hub repository lies in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, 'model_index.json'), str)
    except HFValidationError:
        return False


def _package(module: str, extra: str) -> Need:
    return Need('package', module, find_spec(module) is not None, f'pip install "mmseg_g4seg[{extra}]"')
