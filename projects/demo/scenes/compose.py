"""Composes one labelled scene: layered regions, overlapping objects, light, and a camera.

Shapes: `size` is the side of the square scene in pixels; image (size, size, 3) uint8 RGB,
label map (size, size) uint8, an index into `CLASSES`.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from . import shapes, textures

Painter = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]

BACKDROPS: dict[str, Painter] = {'sky': textures.sky, 'brick wall': textures.brick_wall}
GROUNDS: dict[str, Painter] = {'grass': textures.grass, 'sand': textures.sand, 'water': textures.water}
OBJECTS: dict[str, tuple[Painter, Painter]] = {
    'ball': (shapes.disc, textures.panels),
    'hot air balloon': (shapes.balloon, textures.meridians),
    'crate': (shapes.box, textures.planks),
    'tree': (shapes.tree, textures.foliage),
    'cactus': (shapes.cactus, textures.ribs),
    'mushroom': (shapes.mushroom, textures.spots),
    'fish': (shapes.fish, textures.scales),
    'star': (shapes.star, textures.facets),
    'rock': (shapes.rock, textures.stone),
}
CLASSES: tuple[str, ...] = (*BACKDROPS, *GROUNDS, *OBJECTS)
PALETTE: tuple[tuple[int, int, int], ...] = (
    (135, 190, 235), (170, 80, 60), (90, 160, 60), (225, 200, 140), (40, 110, 170),
    (230, 60, 120), (250, 150, 40), (140, 95, 50), (20, 90, 45), (120, 200, 130),
    (200, 40, 40), (150, 90, 200), (245, 220, 50), (120, 120, 125),
)  # fmt: skip

SUPERSAMPLING = 2
"""Scenes are drawn at twice their size, then averaged: soft edges, one label a pixel."""


def draw_scene(rng: np.random.Generator, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene.

    Args:
        rng: source of all randomness; the same state gives the same scene.
        size: side in pixels, at least 32.

    Returns:
        image (size, size, 3) uint8 RGB and label map (size, size) uint8.

    Raises:
        ValueError: if `size` is below 32.
    """
    if size < 32:
        raise ValueError(f'size: expected at least 32 pixels, got {size}')
    side = size * SUPERSAMPLING
    image, label_map = _draw_regions(rng, side)
    light = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(4, 10)):
        _draw_object(rng, image, label_map, light)
    return _photograph(rng, image, size), label_map[::SUPERSAMPLING, ::SUPERSAMPLING].copy()


def _draw_regions(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Stacks a backdrop and one or two grounds with wavy borders: (side, side, 3), (side, side)."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    names = [str(rng.choice(list(BACKDROPS)))]
    names += [str(name) for name in rng.permutation(list(GROUNDS))[: rng.integers(1, 3)]]
    painters = {**BACKDROPS, **GROUNDS}
    image = painters[names[0]](rng, x, y)
    label_map = np.full((side, side), CLASSES.index(names[0]), np.uint8)
    horizon = rng.uniform(0.25, 0.6) * side
    for name in names[1:]:
        wave = (textures.value_noise(rng, (1, side), (1, side / 4), 3) - 0.5) * 0.25 * side
        below = y > horizon + wave + rng.uniform(-0.3, 0.3) * (x - side / 2)
        image = np.where(below[..., None], painters[name](rng, x, y), image)
        label_map[below] = CLASSES.index(name)
        horizon += rng.uniform(0.15, 0.4) * side
    return image, label_map


def _draw_object(rng: np.random.Generator, image: np.ndarray, label_map: np.ndarray, light: float) -> None:
    """Paints one object, with its shadow, over image and label map in place."""
    side = len(label_map)
    name = str(rng.choice(list(OBJECTS)))
    outline, texture = OBJECTS[name]
    radius = side * rng.uniform(0.07, 0.24)
    centre_x, centre_y = rng.uniform(0, side), rng.uniform(0.1 * side, side)
    left, top = (int(max(0, np.floor(c - 1.3 * radius))) for c in (centre_x, centre_y))
    right, bottom = (int(min(side, np.ceil(c + 1.3 * radius))) for c in (centre_x, centre_y))
    window = (slice(top, bottom), slice(left, right))
    y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
    tilt, flip = rng.normal(0, 0.3), rng.choice([-1, 1])
    stretch = rng.uniform(0.85, 1.2)
    dx, dy = (x - centre_x) / radius, (y - centre_y) / radius
    u = flip * (np.cos(tilt) * dx + np.sin(tilt) * dy) * stretch
    v = -np.sin(tilt) * dx + np.cos(tilt) * dy
    inside = outline(rng, u, v)
    shadow = np.hypot((dx + 0.35 * np.cos(light)) / 0.9, (dy - 0.75) / 0.35) < 1
    image[window][shadow & ~inside] *= rng.uniform(0.5, 0.8)
    shade = 1.0 + 0.35 * (dx * np.cos(light) - dy * np.abs(np.sin(light))) - 0.15 * np.hypot(dx, dy) ** 2
    painted = np.clip(texture(rng, u, v) * shade[..., None], 0, 1)
    image[window][inside] = painted[inside]
    label_map[window][inside] = CLASSES.index(name)


def _photograph(rng: np.random.Generator, image: np.ndarray, size: int) -> np.ndarray:
    """Lights, blurs, averages to `size`, and adds sensor noise: (size, size, 3) uint8."""
    side = len(image)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    lit = image * (rng.uniform(0.75, 1.1) + rng.uniform(0, 0.5) * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    lit = np.clip(lit * rng.uniform(0.9, 1.1, 3), 0, 1) ** rng.uniform(0.85, 1.2)
    picture = Image.fromarray((lit * 255).round().astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    pixels = np.asarray(picture.resize((size, size), Image.Resampling.BOX), np.float64)
    pixels += rng.normal(0, rng.uniform(1, 6), pixels.shape)
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)
