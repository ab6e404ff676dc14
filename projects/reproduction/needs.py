"""What a run needs on this machine, where it is expected, and how one gets it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_g4seg.coarse import CoarseSource
from mmseg_g4seg.diffusion.named import named_prior
from mmseg_g4seg.hosts.mmseg.mmdetection import register_mmdetection
from mmseg_g4seg.registry import names_of

from .clip_weights import find_clip_weights
from .hub_cache import is_cached
from .records import ConfigRun, SeedRun
from .seeds import NAMES, VOC, Seeds


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
    if model.type in (*names_of(CoarseSource), 'DiffusionSegmentor'):
        needs += source_needs(model, download=download)
    return [*needs, *refiner_needs(config.model.get('refiner') or {}, download=download)]


def seed_needs(run: SeedRun, seeds: Seeds, refiner: dict[str, Any], data: Path, *, download: bool) -> list[Need]:
    """Needs of a run of `tools/refine_masks.py` over seeds; some of the seeds are enough.

    Args:
        run: the row's.
        seeds: those that there are.
        refiner: its config.
        data: the folder of data sets.
        download: whether models may be fetched from their hub.
    """
    images, labels, names = data / VOC / 'JPEGImages', data / VOC / 'SegmentationClass', data / NAMES
    unpack, files = 'unpack VOCtrainval_11-May-2012.tar', len(seeds.files)
    how = f'files of the format {run.format}, as the method saves them, each named after its image'
    return [
        Need('images', str(images), images.is_dir(), unpack),
        Need('labels', str(labels), labels.is_dir(), unpack),
        Need('names', str(names), names.is_file(), unpack),
        Need(f'seeds, {files} of {seeds.listed}', str(seeds.folder), files > 0, how),
        *refiner_needs(refiner, download=download),
    ]


def source_needs(segmentor: dict[str, Any], *, download: bool) -> Iterator[Need]:
    """Models and packages of a segmentor that is a source, and of what finds an image's classes."""
    place = 'model.segmentor'
    if segmentor['type'] == 'GroupViTSegmentor':
        model = segmentor.get('model', 'nvidia/groupvit-gcc-yfcc')
        yield from _clip(
            {'type': 'TransformersCLIPFeatures', 'model': model}, place, download=download, what='GroupViT'
        )
    elif segmentor['type'] in ('ClipSegmentor', 'CLIPESSource'):
        yield from _clip({**segmentor, 'type': 'OpenCLIPFeatures'}, place, download=download)
    elif segmentor['type'] == 'CAMSource':
        yield _package('torchvision', 'seeds')
        weights = Path(segmentor['weights'])
        how = f"IRN's step/train_cam.py writes it; or --cfg-options {place}.weights=FILE"
        yield Need('weights of the classifier', str(weights), weights.is_file(), how)
    elif 'prior' in segmentor:
        prior = segmentor['prior']
        yield _prior(str(prior['source'] if isinstance(prior, dict) else prior), download=download)
    finder = segmentor.get('image_classes')
    if isinstance(finder, dict):
        own = 'model.segmentor.image_classes'
        yield from _clip({**finder, 'type': 'OpenCLIPFeatures'}, own, download=download)


def refiner_needs(refiner: dict[str, Any], *, download: bool) -> Iterator[Need]:
    """Models and packages of a refiner, or of every refiner of a chain."""
    kind = refiner.get('type')
    for part in refiner.get('refiners', ()):
        yield from refiner_needs(part, download=download)
    if kind == 'G4SegRefiner':
        prior, injection = refiner['prior'], refiner.get('injection') or ()
        yield _prior(str(prior['source'] if isinstance(prior, dict) else prior), download=download)
        for injector in [injection] if isinstance(injection, dict) else injection:
            if injector['type'] == 'ControlNetInjector':
                yield _controlnet(str(injector['source']), download=download)
        features = refiner.get('update', {}).get('features', {})
        yield from _clip(features, 'model.refiner.update.features', download=download)
    elif kind == 'DenseCRFRefiner':
        yield _package('pydensecrf', 'crf')
    elif kind == 'CascadePSPRefiner':
        yield _package('segmentation_refinement', 'cascadepsp')
        path = Path(refiner['weights'])
        yield Need('weights of CascadePSP', str(path), path.is_file(), "its authors' release, saved there")
    elif kind == 'SegRefinerRefiner':
        path = Path(refiner['weights'])
        yield Need('weights of SegRefiner', str(path), path.is_file(), "its authors' checkpoint, saved there")


def _data(config: Config) -> Iterator[Need]:
    dataset = config.test_dataloader.dataset
    for kind, prefix in (('images', 'img_path'), ('labels', 'seg_map_path')):
        folder = Path(dataset.get('data_root', '')) / dataset.data_prefix[prefix]
        how = f'{dataset.type}; tools/check_dataset.py says what else is wrong'
        yield Need(kind, str(folder), folder.is_dir(), how)


def _prior(name: str, *, download: bool) -> Need:
    if named_prior(name) is not None or Path(name).expanduser().is_dir():
        return Need('prior', name, True)
    if download or is_cached(name, 'model_index.json'):
        return Need('prior', f'{name} (hub)', True)
    return Need('prior', name, False, '--prior FOLDER in diffusers layout, or --download')


def _controlnet(name: str, *, download: bool) -> Need:
    found = Path(name).expanduser().is_dir() or download or is_cached(name, 'config.json')
    return Need('ControlNet', name, found, '--download, or --cfg-options model.refiner.injection.source=FOLDER')


def _clip(config: dict[str, Any], where: str, *, download: bool, what: str = 'CLIP') -> Iterator[Need]:
    """Package and weights of a CLIP model, whose config stands at a place; the prior's own features need nothing."""
    is_open_clip = config.get('type') == 'OpenCLIPFeatures'
    if is_open_clip:
        yield _package('open_clip', 'clip')
    weights = find_clip_weights(config)
    if weights is not None:
        how = f'--download, or --cfg-options {where}.{"pretrained=FILE" if is_open_clip else "model=FOLDER"}'
        yield Need(f'{what} weights', weights[0], weights[1] or download, how)


def _package(module: str, extra: str) -> Need:
    return Need('package', module, find_spec(module) is not None, f'pip install "mmseg_g4seg[{extra}]"')
