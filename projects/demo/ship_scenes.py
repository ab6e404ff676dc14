"""Writes the scenes that ship with `g4seg app`: python -m projects.demo.ship_scenes mmseg_g4seg/assets/scenes.

`NAME.png` RGB, `NAME_classes.txt` the classes of the true and of the coarse mask, one a line, `NAME_coarse.npz` their
scores by the demo's segmentor on a grid of 32 x 32, `NAME_truth.png` their true indices.

Shapes: C classes, K classes that occur, H W image size.
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
import torch
from mmseg.apis import inference_model, init_model
from PIL import Image

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.io.score_files import ScoreFile
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.prediction import ClassList, Prediction

from .run import CHECKPOINT
from .scenes.compose import CLASSES, draw_scene

CONFIG = Path(__file__).parent / 'configs/segformer-tiny_scenes-128x128.py'
SPLIT = 'app'
"""Seeds the scenes: none of them is among those that prior and segmentor were trained on."""
SCENES = {'star': 4, 'mushroom': 9, 'trees': 6}
"""Number of each scene in the split. Refinement helps on the first two and harms the third."""
GRID = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    model = init_model(str(CONFIG), str(CHECKPOINT), device='cpu')
    for name, index in SCENES.items():
        image, truth = draw_scene(np.random.default_rng([0, zlib.crc32(SPLIT.encode()), index]))
        # mmseg takes arrays as OpenCV reads files: BGR
        logits = inference_model(model, np.ascontiguousarray(image[..., ::-1])).seg_logits.data  # (C, H, W)
        probs = resize_maps(torch.as_tensor(logits).softmax(dim=0), (GRID, GRID))
        kept = sorted({*np.unique(truth).tolist(), *probs.argmax(dim=0).unique().tolist()})
        own = probs[kept] / probs[kept].sum(dim=0)  # (K, GRID, GRID)
        classes = ClassList([CLASSES[c] for c in kept])
        scores = ScoreFile(classes).encode(Prediction(own, own.argmax(dim=0)))
        atomic_write(folder / f'{name}_coarse.npz', scores)
        atomic_write(
            folder / f'{name}_truth.png', png_bytes(Image.fromarray(np.searchsorted(kept, truth).astype(np.uint8)))
        )
        atomic_write(folder / f'{name}_classes.txt', '\n'.join(map(str, classes)) + '\n')
        atomic_write(folder / f'{name}.png', png_bytes(Image.fromarray(image)))


if __name__ == '__main__':
    main()
