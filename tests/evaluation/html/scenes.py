"""Drawn scenes with masks that are wrong at borders, for pages that one can look at."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.html.extremes import Extremes
from mmseg_g4seg.evaluation.html.pictures import draw_picture
from mmseg_g4seg.evaluation.records import COARSE, REFINED, measure_image
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.prediction import ClassList

CLASSES = ClassList(
    ['sky', 'hill', 'lake', 'house', 'hot air balloon', 'sun & moon', 'never there'],
    palette=[(110, 160, 220), (90, 140, 60), (40, 90, 160), (190, 80, 60), (220, 180, 40), (240, 240, 120), (9, 9, 9)],
)


def draw_scene(seed: int, size: tuple[int, int] = (240, 180)) -> tuple[np.ndarray, dict[str, Tensor], Tensor]:
    """A picture (H, W, 3) uint8, masks by stage and the truth, (H, W) int64; a strip has no label."""
    generator = np.random.default_rng(seed)
    width, height = size
    labels = Image.new('L', size, 0)
    draw = ImageDraw.Draw(labels)
    horizon = int(height * generator.uniform(0.45, 0.6))
    points = [(x, horizon + int(height * 0.12 * np.sin(x / width * 7 + seed))) for x in range(0, width + 1, 4)]
    draw.polygon([*points, (width, height), (0, height)], fill=1)
    draw.ellipse([width * 0.1, height * 0.72, width * 0.62, height * 0.96], fill=2)
    left = int(width * generator.uniform(0.55, 0.75))
    draw.rectangle([left, horizon, left + width // 6, horizon + height // 4], fill=3)
    radius = height * generator.uniform(0.09, 0.14)
    x, y = width * generator.uniform(0.2, 0.8), height * generator.uniform(0.15, 0.3)
    draw.ellipse([x - radius, y - radius * 1.2, x + radius, y + radius * 1.2], fill=4)
    if seed % 3 == 0:
        draw.ellipse([4, 4, 4 + radius, 4 + radius], fill=5)
    truth = np.asarray(labels).astype(np.int64)
    light = np.linspace(1.15, 0.8, height)[:, None, None] * generator.normal(1, 0.05, (height, width, 1))
    pixels = (np.array(CLASSES.palette)[truth] * 0.75 + 40) * light
    image = np.asarray(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8)))
    blurred = {stage: _deform(truth, generator, strength) for stage, strength in ((COARSE, 7), (REFINED, 3))}
    if seed % 7 == 5:  # one that gets worse
        blurred = {COARSE: blurred[REFINED], REFINED: blurred[COARSE]}
    truth = truth.copy()
    truth[:, :6] = 255
    return image, {stage: torch.from_numpy(labels) for stage, labels in blurred.items()}, torch.from_numpy(truth)


def _deform(labels: np.ndarray, generator: np.random.Generator, strength: float) -> np.ndarray:
    """Moves the borders of (H, W) labels by smooth noise of some pixels."""
    height, width = labels.shape
    moves = []
    for _ in range(2):
        noise = generator.normal(0, 1, (6, 8)).astype(np.float32)
        moves.append(strength * np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)))
    rows, columns = np.mgrid[:height, :width]
    return labels[(rows + moves[0]).round().astype(int).clip(0, height - 1),
                  (columns + moves[1]).round().astype(int).clip(0, width - 1)]  # fmt: skip


def make_run(count: int, *, kept: int, size: tuple[int, int] = (240, 180)) -> tuple[EvaluationReport, Extremes]:
    """A run over scenes: its report, and the pictures that were kept."""
    records, extremes = [], Extremes(kept)
    for i in range(count):
        image, maps, truth = draw_scene(i, size)
        seconds = {'coarse': 0.031, 'G4Seg': 0.52, 'CRF': 0.24}
        record = measure_image(f'scene_{i:03d}.png', maps, truth, len(CLASSES), seconds=seconds)
        records.append(record)
        if extremes.wants(record):
            extremes.add([draw_picture(record, image, maps, truth, CLASSES, ignore_index=255)])
    return build_report(records, CLASSES.labels), extremes
