"""Pictures of the images that refinement changed most, in both directions.

Shapes: H W image size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from PIL import Image

from mmseg_g4seg.evaluation.panels import Legend, compose
from mmseg_g4seg.hosts.mmseg.images import image_key
from mmseg_g4seg.hosts.mmseg.segmentor import RefinedSegmentor
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner

COLUMNS = ('image', 'coarse', 'reconstruction', 'refined', 'truth')
LEAST_SHOWN = 0.005
"""Share of a label map that a class covers to be named beside the row."""


def save_gallery(runner: Runner, images: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws one row an image: the image, coarse mask, reconstruction, refined mask, truth, and their classes' colours.

    Args:
        runner: after its test, with a `RefinedSegmentor` whose refiner is a `G4SegRefiner`.
        images: name, coarse and refined mean IoU of those to draw.
        path: of the PNG.
    """
    dataset = runner.test_dataloader.dataset
    index = {Path(dataset.get_data_info(i)['img_path']).name: i for i in range(len(dataset))}
    drawn, legends = [], []
    for row in images:
        panels, legend = _panels(runner.model, dataset[index[row['name']]], dataset.metainfo)
        drawn.append((f'{row["name"]}: mean IoU {row["coarse"]:.1f} to {row["refined"]:.1f}', panels))
        legends.append(legend)
    atomic_write(path, png_bytes(compose(COLUMNS, drawn, legends=legends)))


@torch.no_grad()
def _panels(
    model: RefinedSegmentor, item: dict[str, Any], metainfo: dict[str, Any]
) -> tuple[list[Image.Image], Legend]:
    """A picture a column, and the colours of the classes that a label map shows."""
    data = model.data_preprocessor(pseudo_collate([item]), False)
    coarse = model.coarse_prediction(model.predict_coarse(data['inputs'], data['data_samples'])[0][0])
    sample = model.test_step(pseudo_collate([item]))[0]
    pixels = Image.open(sample.img_path).convert('RGB')
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255
    assert isinstance(model.refiner, G4SegRefiner)
    reconstruction = model.refiner.reconstruct(image, coarse, metainfo['classes'], key=image_key(sample.metainfo))
    palette = np.array([*metainfo['palette'], *[(0, 0, 0)] * (256 - len(metainfo['palette']))], np.uint8)
    stages = (sample.coarse_sem_seg, sample.pred_sem_seg, sample.gt_sem_seg)
    labels = np.stack([stage.data.squeeze().cpu().numpy().astype(np.uint8) for stage in stages])  # (3, H, W)
    coarse_map, refined_map, truth = palette[labels]
    shown = [c for c in range(len(metainfo['classes'])) if (labels == c).mean(axis=(1, 2)).max() >= LEAST_SHOWN]
    legend = [(metainfo['classes'][c], tuple(metainfo['palette'][c])) for c in shown]
    return [pixels, *map(Image.fromarray, (coarse_map, to_pixels(reconstruction), refined_map, truth))], legend
