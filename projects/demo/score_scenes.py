"""Writes scenes with the scores of the demo's segmentor: a set of images as `projects.experiments` takes one.

    python -m projects.demo.score_scenes work_dirs/scenes tune=60

Beside what `make_scenes` writes, `scores/SPLIT/00000.npz` has the probabilities of the classes.
"""

import argparse
from pathlib import Path

import torch
from mmseg.apis import inference_model, init_model
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.score_files import ScoreFile
from mmseg_g4seg.prediction import ClassList, Prediction

from .make_scenes import parse_split
from .run import CHECKPOINT
from .scenes.compose import CLASSES
from .scenes.folder import write_split

CONFIG = Path(__file__).parent / 'configs/segformer-tiny_scenes-128x128.py'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='root of the data set')
    parser.add_argument('splits', type=parse_split, nargs='+', metavar='SPLIT=COUNT')
    args = parser.parse_args()
    model = init_model(str(CONFIG), str(CHECKPOINT), device='cpu')
    format_ = ScoreFile(ClassList(CLASSES))
    for split, count in args.splits:
        scores = args.folder / 'scores' / split
        scores.mkdir(parents=True, exist_ok=True)
        for path in tqdm(write_split(args.folder, split, count), split, total=count):
            logits = inference_model(model, str(path)).seg_logits.data  # (C, H, W)
            probs = torch.as_tensor(logits).softmax(dim=0)
            atomic_write(scores / f'{path.stem}.npz', format_.encode(Prediction(probs, probs.argmax(dim=0))))


if __name__ == '__main__':
    main()
