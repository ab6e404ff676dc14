"""Outlines of the demo scenes' objects.

Shapes: x, y (h, w) float coordinates in the object's own frame, [-1, 1] twice, y downwards;
every outline returns (h, w) bool, True inside.
"""

import numpy as np


def disc(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) < 0.97


def balloon(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    taper = 1.0 - 0.45 * np.clip(y + 0.1, 0, 1)
    canopy = (np.hypot(x / (0.8 * taper), (y + 0.22) / 0.76) < 1) & (y < 0.6)
    return (
        canopy
        | ((np.abs(x) < 0.16) & (y > 0.72) & (y < 0.98))
        | ((np.abs(np.abs(x) - 0.13) < 0.03) & (y > 0.4) & (y < 0.8))
    )


def box(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) < 0.92


def tree(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = np.arctan2(y + 0.3, x)
    radius = 0.62 + sum(rng.uniform(0.02, 0.07) * np.sin(k * angle + rng.uniform(0, 6)) for k in (3, 5, 8, 13))
    return (np.hypot(x * 0.95, y + 0.3) < radius) | ((np.abs(x) < 0.13) & (y > 0.0) & (y < 0.98))


def _capsule(x: np.ndarray, y: np.ndarray, top: float, bottom: float, radius: float) -> np.ndarray:
    return np.hypot(x, y - np.clip(y, top, bottom)) < radius


def cactus(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inside = _capsule(x, y, -0.7, 1.0, 0.24) & (y < 0.98)
    for side in (-1, 1):
        elbow, tip = rng.uniform(0.0, 0.5), rng.uniform(-0.5, -0.1)
        inside |= _capsule(x - side * 0.58, y, tip, elbow, 0.17)
        inside |= (np.abs(y - elbow) < 0.15) & (side * x > 0) & (side * x < 0.58)
    return inside


def mushroom(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cap = (np.hypot(x / 0.95, (y - 0.15) / 1.05) < 1) & (y < 0.15)
    return cap | ((np.abs(x) < 0.26 + 0.10 * y) & (y >= 0.1) & (y < 0.95))


def fish(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    body = np.hypot((x + 0.18) / 0.8, y / 0.52) < 1
    tail = (x > 0.45) & (x < 0.97) & (np.abs(y) < (x - 0.40) * 0.95)
    fin = (y < -0.3) & (y > -0.75) & (x > -0.35) & (x < 0.15 + 0.6 * (y + 0.3))
    return body | tail | fin


def star(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = (np.arctan2(x, -y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5
    ratio = np.abs(angle) / (np.pi / 5)
    return np.hypot(x, y) < 0.98 * (1 - ratio) + 0.46 * ratio


def rock(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = np.arctan2(y, x)
    radius = 0.78 + sum(rng.uniform(0.02, 0.12) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5))
    return (np.hypot(x, y * 1.25) < radius) & (y < 0.6)
