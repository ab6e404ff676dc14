"""Pictures of the images that refinement changed most, in both directions.

Shapes: H W image size; panels (H', W', 3) uint8 RGB, drawn at `PANEL_HEIGHT`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from PIL import Image, ImageDraw

from .images import image_key
from .segmentor import RefinedSegmentor

PANEL_HEIGHT = 224
MARGIN = 6
HEADER = 18
COLUMNS = ('image', 'coarse', 'reconstruction', 'refined', 'truth')


def save_gallery(runner: Runner, images: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws one row an image: the image, coarse mask, reconstruction, refined mask, truth.

    Args:
        runner: after its test, with a `RefinedSegmentor` whose refiner can `reconstruct`.
        images: name, coarse and refined mean IoU of those to draw.
        path: of the PNG.
    """
    dataset = runner.test_dataloader.dataset
    index = {Path(dataset.get_data_info(i)['img_path']).name: i for i in range(len(dataset))}
    drawn = [
        (
            f'{row["name"]}: mean IoU {row["coarse"]:.1f} to {row["refined"]:.1f}',
            _panels(runner.model, dataset[index[row['name']]], dataset.metainfo),
        )
        for row in images
    ]
    _compose(drawn).save(path)


@torch.no_grad()
def _panels(model: RefinedSegmentor, item: dict[str, Any], metainfo: dict[str, Any]) -> list[Image.Image]:
    data = model.data_preprocessor(pseudo_collate([item]), False)
    coarse = model.coarse_prediction(model.predict_coarse(data['inputs'], data['data_samples'])[0][0])
    sample = model.test_step(pseudo_collate([item]))[0]
    pixels = Image.open(sample.img_path).convert('RGB')
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255
    reconstruction = model.refiner.reconstruct(image, coarse, metainfo['classes'], key=image_key(sample.metainfo))
    palette = np.array([*metainfo['palette'], *[(0, 0, 0)] * (256 - len(metainfo['palette']))], np.uint8)
    labels = [sample.coarse_sem_seg, sample.pred_sem_seg, sample.gt_sem_seg]
    coarse_map, refined_map, truth = (palette[x.data.squeeze().cpu().numpy().astype(np.uint8)] for x in labels)
    rebuilt = (reconstruction.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    return [pixels, *(Image.fromarray(a) for a in (coarse_map, rebuilt, refined_map, truth))]


def _compose(rows: Sequence[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Lays rows of panels out under their captions; an empty gallery says so."""
    widths = [round(panels[0].width * PANEL_HEIGHT / panels[0].height) for _, panels in rows] or [PANEL_HEIGHT]
    width = len(COLUMNS) * (max(widths) + MARGIN) + MARGIN
    height = HEADER + max(1, len(rows)) * (HEADER + PANEL_HEIGHT + MARGIN)
    sheet = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(COLUMNS):
        draw.text((MARGIN + column * (max(widths) + MARGIN), 3), title, fill='black')
    if not rows:
        draw.text((MARGIN, HEADER), 'no image changed', fill='black')
    for row, ((caption, panels), panel_width) in enumerate(zip(rows, widths, strict=False)):
        top = HEADER + row * (HEADER + PANEL_HEIGHT + MARGIN)
        draw.text((MARGIN, top + 3), caption, fill='black')
        for column, (title, panel) in enumerate(zip(COLUMNS, panels, strict=True)):
            smooth = title in ('image', 'reconstruction')
            resample = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
            left = MARGIN + column * (max(widths) + MARGIN)
            sheet.paste(panel.resize((panel_width, PANEL_HEIGHT), resample), (left, top + HEADER))
    return sheet
