"""Peaks of a mask of many classes follow the classes that it has: a few times their scores, and a constant."""

import pytest

from projects.benchmark.large_images import main

SIZE = dict(classes=150, present=10, height=512, width=1024)
BOUNDS = dict(read=2.6, refine=5.0, write=3.6)
"""Times the scores of the present classes; the scores of all would be 15 times."""
PRIOR = 60e6
"""What G4Seg's passes take, whatever the image's size."""


@pytest.mark.slow
def test_work_follows_the_classes_present():
    options = [f'--{name}={value}' for name, value in {**SIZE, 'image-size': 32}.items()]
    found = main(['g4seg', *options])['g4seg']
    own = 4 * SIZE['present'] * SIZE['height'] * SIZE['width']
    assert own < found['read']
    for stage, bound in BOUNDS.items():
        assert found[stage] < bound * own + PRIOR, stage
