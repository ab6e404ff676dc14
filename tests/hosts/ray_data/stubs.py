"""Refiners that show what a cluster does with them."""

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmseg_g4seg.ops.noise import draw_noise
from mmseg_g4seg.prediction import Key, Prediction
from mmseg_g4seg.refiners.base import Refiner, redecide
from mmseg_g4seg.registry import register
