"""A toy data set and small models of Detectron2's own code, with random weights."""

from argparse import Namespace
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import sem_seg_evaluation
from detectron2.modeling import build_model

NAME = 'toy_scenes'
CLASSES = ['sky', 'grass', 'fish', 'brick wall']
SIZE = (30, 44)
PAMR = 'mmseg_g4seg::_base_/refiners/pamr.py'
TINY = dict(
    type='G4SegRefiner',
    prior='tiny',
    image_size=64,
    update=dict(type='LikelihoodUpdate', uncertain_below=0.9, sharpness=30.0, timesteps=(400,)),
)
"""The embedded prior on a small grid, one noise level."""


def write_scenes(folder: Path, count: int = 3) -> None:
    """Sky over grass with a disc, and its labels; a strip of each has no label."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    for i in range(count):
        labels = np.where(rows < 10 + 2 * i, 0, 1)
        labels[(rows - 15) ** 2 + (cols - 10 - 6 * i) ** 2 < 60] = 2
        labels[:, -6 - i :] = 3
        colours = np.array([[120, 170, 240], [60, 150, 50], [230, 120, 40], [150, 70, 60]])
        noise = np.random.default_rng(i).integers(-20, 20, (*SIZE, 3))
        Image.fromarray((colours[labels] + noise).clip(0, 255).astype(np.uint8)).save(folder / f'{i}.png')
        labels[:2] = 255
        Image.fromarray(labels.astype(np.uint8)).save(folder / f'{i}_labels.png')


def register_scenes(folder: Path, name: str = NAME, **metadata: object) -> None:
    files = sorted(folder.glob('?.png'))
    items = [
        dict(
            file_name=str(file),
            height=SIZE[0],
            width=SIZE[1],
            sem_seg_file_name=str(folder / f'{file.stem}_labels.png'),
        )
        for file in files
    ]
    DatasetCatalog.register(name, lambda: items)
    fields = dict(stuff_classes=CLASSES, ignore_label=255, evaluator_type='sem_seg')
    MetadataCatalog.get(name).set(**{**fields, **metadata})


def semantic_fpn(folder: Path) -> CfgNode:
    """A config of Detectron2's semantic FPN, small."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = 'SemanticSegmentor'
    cfg.MODEL.DEVICE = 'cpu'
    cfg.MODEL.WEIGHTS = str(folder / 'weights.pth')
    cfg.MODEL.BACKBONE.NAME = 'build_resnet_fpn_backbone'
    cfg.MODEL.RESNETS.merge_from_list(['DEPTH', 18, 'RES2_OUT_CHANNELS', 64])
    features = ['res2', 'res3', 'res4', 'res5']
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = features
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.SEM_SEG_HEAD.merge_from_list(['NUM_CLASSES', len(CLASSES), 'CONVS_DIM', 16, 'NORM', ''])
    cfg.INPUT.merge_from_list(['MIN_SIZE_TEST', 40, 'MAX_SIZE_TEST', 80])
    cfg.DATASETS.TEST = (NAME,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.OUTPUT_DIR = str(folder / 'out')
    return cfg


def save_weights(cfg: CfgNode) -> None:
    """Random weights, scaled so that classes are as likely as each other and few pixels are sure."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    predictor = model.sem_seg_head.predictor
    image = torch.from_numpy(np.array(Image.open(DatasetCatalog.get(NAME)[0]['file_name']))).permute(2, 0, 1)
    with torch.no_grad():
        logits = model([dict(image=image)])[0]['sem_seg']
        deviation = logits.std(dim=(1, 2)) * 0.7
        predictor.weight.div_(deviation[:, None, None, None])
        predictor.bias.copy_((predictor.bias - logits.mean(dim=(1, 2))) / deviation)
    torch.save({'model': model.state_dict()}, cfg.MODEL.WEIGHTS)


def upstream_script(name: str) -> Path:
    """A script of Detectron2's own, as the package for the tests brings it."""
    script = Path(find_spec('detectron2').origin).parents[1] / 'tools' / name
    if not script.is_file():
        pytest.skip(f'this Detectron2 came without its tools/{name}: requirements/detectron2.sh')
    return script


@contextmanager
def readable_labels():
    """With numpy 2 the evaluator of April 2024 may not copy what it has to; upstream mended it in June 2024."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sem_seg_evaluation.load_image_into_numpy_array, '__defaults__', (True, None))
        yield


def arguments(config_file: Path) -> Namespace:
    return Namespace(config_file=str(config_file), eval_only=True, resume=False, opts=[], num_gpus=0)
