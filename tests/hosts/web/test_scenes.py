"""The figures of the guide: what the embedded prior makes of the scenes that ship.

    APP_ALL_SCENES=1 python -m pytest tests/hosts/web/test_scenes.py

measures all three; otherwise one, to be quick.
"""

import os
import re

import pytest

from mmseg_g4seg.evaluation.areas import class_areas, mean_iou
from mmseg_g4seg.hosts.web import handlers
from mmseg_g4seg.hosts.web.handlers import UPLOAD, Form
from mmseg_g4seg.hosts.web.parameters import PARAMETERS
from mmseg_g4seg.hosts.web.run import Case, Runner
from mmseg_g4seg.hosts.web.scenes import SCENES
from tests.conftest import ROOT


def test_the_guide_says_what_comes_out():
    text, runner = (ROOT / 'docs/guides/app.md').read_text(), Runner()
    stated = re.findall(r'^\| (.+?) \| ([\d.]+) \| ([\d.]+) \|$', text, re.MULTILINE)
    chosen = SCENES if os.environ.get('APP_ALL_SCENES') else SCENES[:1]
    found = [measure(runner, scene) for scene in chosen]
    assert [name for name, *_ in stated] == [scene.title for scene in SCENES]
    for (name, coarse, refined), figures in zip(stated, found, strict=False):
        # the last digit hangs on the processor
        assert (float(coarse), float(refined)) == pytest.approx(figures, abs=0.3), name


def measure(runner: Runner, scene) -> tuple[float, float]:
    """Mean IoU of coarse and refined mask, per cent."""
    form = Form(
        scene.picture, scene.names, UPLOAD, scene.scores, [], None, 'G4Seg, likelihood update', [None] * len(PARAMETERS)
    )
    picture, classes = handlers.open_picture(form.picture), handlers.named_classes(form.names)
    case = Case(picture, classes, handlers.coarse_mask(form, picture, classes), form.config)
    outcome, truth = runner.refine(case, lambda *_: None), handlers.scene_truth(scene.picture, scene.names)
    masks = outcome.coarse.label_map, outcome.refined.label_map
    coarse, refined = (100 * float(mean_iou(class_areas(mask, truth, len(classes)))) for mask in masks)
    return coarse, refined
