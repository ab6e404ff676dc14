"""Procedural textures of the demo scenes.

Shapes: x, y (h, w) float coordinates; every texture returns (h, w, 3) float64 RGB in [0, 1].
Region textures take pixel coordinates, object textures the object's own frame, [-1, 1] twice.
"""

import colorsys

import numpy as np
from PIL import Image


def draw_colour(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> np.ndarray:
    """Draws one RGB colour, (3,) in [0, 1], uniformly from ranges of HSV (hue may wrap past 1)."""
    h, s, v = (rng.uniform(*bounds) for bounds in (hue, saturation, value))
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v))


def value_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3
) -> np.ndarray:
    """Sums octaves of bicubic value noise.

    Args:
        rng: source of randomness.
        shape: (h, w) of the result.
        cell: height and width, in pixels, of the coarsest noise cell; halved with each octave.
        octaves: how many scales are summed, each with half the amplitude of the last.

    Returns:
        (h, w) float64, about [0, 1].
    """
    height, width = shape
    total, weight = np.zeros(shape), 0.0
    for octave in range(octaves):
        rows = max(2, round(height / cell[0] * 2**octave) + 1)
        cols = max(2, round(width / cell[1] * 2**octave) + 1)
        grid = Image.fromarray(rng.random((rows, cols)).astype(np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * 0.5**octave
        weight += 0.5**octave
    return total / weight


def blend(first: np.ndarray, second: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Mixes two (3,) colours by an (h, w) amount in [0, 1] to (h, w, 3)."""
    amount = np.clip(amount, 0.0, 1.0)[..., None]
    return first * (1.0 - amount) + second * amount


def sky(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    top = draw_colour(rng, (0.50, 0.66), (0.2, 0.7), (0.55, 1.0))
    low = draw_colour(rng, (0.45, 1.10), (0.0, 0.4), (0.7, 1.0))
    clouds = value_noise(rng, x.shape, (40, 90), 4)
    gradient = y / max(float(y.max()), 1.0)
    return blend(top, low, gradient * 0.8 + np.maximum(clouds - 0.5, 0) * 2.0)


def brick_wall(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    brick = draw_colour(rng, (-0.02, 0.10), (0.15, 0.6), (0.4, 0.8))
    mortar = draw_colour(rng, (0.0, 0.2), (0.0, 0.2), (0.6, 0.9))
    height = rng.uniform(10, 18)
    width = height * rng.uniform(1.8, 2.6)
    row = np.floor(y / height)
    column = x / width + 0.5 * (row % 2)
    joint = (y / height % 1.0 < 0.14) | (column % 1.0 < 0.07)
    tone = rng.uniform(0.75, 1.15, 997)[((row * 31 + np.floor(column) * 17) % 997).astype(int)]
    face = brick * (tone * (0.85 + 0.3 * value_noise(rng, x.shape, (8, 8), 2)))[..., None]
    return np.where(joint[..., None], mortar, face)


def grass(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dark = draw_colour(rng, (0.20, 0.36), (0.4, 0.8), (0.2, 0.45))
    light = draw_colour(rng, (0.16, 0.32), (0.3, 0.7), (0.5, 0.8))
    blades = value_noise(rng, x.shape, (14, 4), 2) - 0.5
    return blend(dark, light, 0.5 + 1.6 * blades + 0.6 * (value_noise(rng, x.shape, (50, 50), 2) - 0.5))


def sand(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dark = draw_colour(rng, (0.06, 0.14), (0.2, 0.5), (0.5, 0.7))
    light = draw_colour(rng, (0.09, 0.15), (0.15, 0.4), (0.75, 0.95))
    grain = rng.random(x.shape) * 0.5 + value_noise(rng, x.shape, (30, 60), 3) * 0.7
    return blend(dark, light, grain)


def water(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    deep = draw_colour(rng, (0.46, 0.66), (0.4, 0.8), (0.25, 0.55))
    crest = draw_colour(rng, (0.45, 0.62), (0.1, 0.5), (0.6, 0.95))
    bend = value_noise(rng, x.shape, (30, 50), 2) * 14
    waves = np.sin((y + bend) * rng.uniform(0.35, 0.7)) + 0.8 * (value_noise(rng, x.shape, (5, 26), 2) - 0.5)
    return blend(deep, crest, 0.5 + 0.45 * waves)


def panels(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Beach-ball sectors of two colours."""
    first = draw_colour(rng, (0, 1), (0.5, 0.95), (0.5, 0.95))
    second = draw_colour(rng, (0, 1), (0.0, 0.9), (0.6, 1.0))
    sectors = np.sin(rng.integers(2, 5) * np.arctan2(y + 0.2, x - 0.15) + rng.uniform(0, 6))
    return blend(first, second, (sectors > 0).astype(float))


def meridians(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vertical gores of a balloon, narrowing towards the edge."""
    first = draw_colour(rng, (0, 1), (0.4, 0.95), (0.5, 0.95))
    second = draw_colour(rng, (0, 1), (0.1, 0.9), (0.6, 1.0))
    longitude = np.arcsin(np.clip(x / np.sqrt(np.maximum(1.02 - y * y, 0.05)), -1, 1))
    basket = (y > 0.72)[..., None]
    canopy = blend(first, second, (np.sin(longitude * rng.integers(5, 9)) > 0).astype(float))
    return np.where(basket, draw_colour(rng, (0.05, 0.10), (0.4, 0.7), (0.3, 0.5)), canopy)


def planks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wood = draw_colour(rng, (0.05, 0.11), (0.3, 0.7), (0.45, 0.8))
    count = rng.integers(3, 6)
    gap = (x * count / 2 % 1.0) < 0.12
    frame = (np.maximum(np.abs(x), np.abs(y)) > 0.78) | (np.abs(x - y) < 0.16)
    grain = 0.75 + 0.45 * value_noise(rng, x.shape, (24, 3), 2)
    return wood * (grain * np.where(frame, 1.15, np.where(gap, 0.45, 0.9)))[..., None]


def foliage(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dark = draw_colour(rng, (0.22, 0.42), (0.4, 0.8), (0.15, 0.35))
    light = draw_colour(rng, (0.15, 0.36), (0.4, 0.8), (0.45, 0.75))
    leaves = blend(dark, light, 0.5 + 1.8 * (value_noise(rng, x.shape, (7, 7), 2) - 0.5))
    bark = draw_colour(rng, (0.04, 0.10), (0.3, 0.6), (0.25, 0.45))
    trunk = (np.abs(x) < 0.16) & (y > 0.35)
    return np.where(trunk[..., None], bark * (0.8 + 0.4 * value_noise(rng, x.shape, (20, 3), 1))[..., None], leaves)


def ribs(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ribbed, spiny skin of a cactus."""
    dark = draw_colour(rng, (0.24, 0.44), (0.35, 0.7), (0.2, 0.4))
    light = draw_colour(rng, (0.22, 0.42), (0.25, 0.6), (0.45, 0.75))
    skin = blend(dark, light, 0.5 + 0.5 * np.cos(x * rng.uniform(26, 40)))
    return np.where((rng.random(x.shape) < 0.05)[..., None], 0.95, skin)


def spots(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mushroom: a spotted cap over a pale stem."""
    cap = draw_colour(rng, (-0.08, 0.12), (0.5, 0.95), (0.4, 0.85))
    stem = draw_colour(rng, (0.08, 0.16), (0.05, 0.3), (0.7, 0.95))
    pitch = rng.uniform(0.38, 0.55)
    shift = 0.5 * (np.floor(y / pitch) % 2)
    distance = np.hypot((x / pitch + shift) % 1.0 - 0.5, y / pitch % 1.0 - 0.5)
    cap_colour = blend(cap, np.ones(3) * 0.93, (distance < 0.27).astype(float))
    return np.where((y > 0.12)[..., None], stem * (1 - 0.25 * np.abs(np.sin(x * 22)))[..., None], cap_colour)


def scales(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fish: overlapping scales, a lighter belly and an eye."""
    back = draw_colour(rng, (0, 1), (0.3, 0.9), (0.4, 0.8))
    belly = draw_colour(rng, (0.0, 0.2), (0.05, 0.5), (0.7, 1.0))
    pitch = 0.2
    shift = 0.5 * (np.floor(x / pitch) % 2)
    rim = np.hypot(x / pitch % 1.0 - 0.1, (y / pitch + shift) % 1.0 - 0.5)
    body = blend(back, belly, y * 0.8 + 0.45) * (0.7 + 0.45 * np.clip(rim, 0, 1))[..., None]
    eye = np.hypot(x + 0.62, y + 0.10)
    body = np.where((eye < 0.11)[..., None], 0.95, body)
    return np.where((eye < 0.06)[..., None], 0.05, body)


def facets(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Star: flat facets, lit alternately from tip to tip."""
    base = draw_colour(rng, (0.05, 0.20), (0.4, 0.95), (0.65, 1.0))
    angle = (np.arctan2(x, -y) / (2 * np.pi) * 10) % 2
    return base * np.where(angle < 1, 1.0, rng.uniform(0.6, 0.8))[..., None]


def stone(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dark = draw_colour(rng, (0.0, 0.7), (0.0, 0.2), (0.2, 0.4))
    light = draw_colour(rng, (0.0, 0.7), (0.0, 0.25), (0.55, 0.8))
    cracks = np.abs(value_noise(rng, x.shape, (16, 16), 3) - 0.5)
    return (
        blend(dark, light, value_noise(rng, x.shape, (24, 24), 4) * 1.6 - 0.3)
        * np.where(cracks < 0.02, 0.6, 1.0)[..., None]
    )
