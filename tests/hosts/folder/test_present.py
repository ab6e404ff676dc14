"""Masks that have few of the classes: the refiner is given those alone, and the results are those of all classes."""

import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.formats import Reading
from mmseg_g4seg.io.mask_files import FileMask, make_prediction
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.binary.base import BinaryMaskRefiner
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.registry import register

SIZE = (40, 60)
CLASSES = ClassList(['background', *(f'thing {i}' for i in range(1, 12))])
VOID = 255
SOFTEN = 0.1


@register
class DrawnRefiner(BinaryMaskRefiner):
    """Claims drawn at random, by key and class."""

    def refine_mask(self, image, mask, key):
        generator = torch.Generator().manual_seed(zlib.crc32(str(key).encode()))
        return 0.4 * mask.float() + 0.6 * torch.rand(mask.shape, generator=generator)


@register
class CountingRefiner(DrawnRefiner):
    """Counts the classes that it is given."""

    seen: list = []  # noqa: RUF012

    def refine_batch(self, images, predictions, classes, **options):
        self.seen.append((len(classes), len(predictions[0].probs), classes.labels[-1]))
        return super().refine_batch(images, predictions, classes, **options)


def labels_with_void() -> torch.Tensor:
    """Classes 3 and 7, and void, some of it far from any label."""
    labels = torch.full(SIZE, 3)
    labels[:, 15:30] = 7
    labels[:, 35:] = VOID
    return labels


def worker_of(root, config, mask_format='index-png', output='npz', **reading):
    """A worker and its only job: a picture, and a mask of `labels_with_void` or of scores."""
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(root / 'images' / 'a.png')
    if mask_format == 'index-png':
        Image.fromarray(labels_with_void().numpy().astype(np.uint8)).save(root / 'masks' / 'a.png')
    folders = (root / 'images', root / 'masks', root / 'out')
    task = FolderTask(*folders, config, CLASSES, Reading(mask_format, soften=SOFTEN, **reading), output_format=output)
    return task, torch.from_numpy(pixels).permute(2, 0, 1) / 255


def refined_by(task):
    plan, state = begin(task)
    worker = MaskWorker(task, state)
    assert worker(plan.jobs[0]) is None
    return worker.writer.read(plan.jobs[0].result)


CONFIGS = {
    'PAMR': dict(type='PAMRRefiner', iterations=2, dilations=[1, 2]),
    'one object at a time': dict(type='DrawnRefiner'),
    'filled void': dict(
        type='SequentialRefiner',
        refiners=[dict(type='PAMRRefiner', iterations=2, dilations=[1, 2]), dict(type='FillVoid')],
    ),
    'G4Seg': dict(
        type='G4SegRefiner',
        prior='tiny',
        image_size=32,
        update=dict(type='LikelihoodUpdate', timesteps=[300], uncertain_below=1.0, sharpness=300.0),
    ),
}


@pytest.mark.parametrize('output', ['index-png', 'npz'])
@pytest.mark.parametrize('name', CONFIGS)
def test_results_are_those_of_all_classes(tmp_path, name, output):
    task, image = worker_of(tmp_path, CONFIGS[name], output=output)
    found = refined_by(task)
    whole = make_prediction(FileMask(label_map=labels_with_void()), SIZE, len(CLASSES), soften=SOFTEN)
    expected = build_refiner(CONFIGS[name]).refine(image, whole, CLASSES, key='a.png')
    assert not torch.equal(expected.label_map, whole.label_map)
    if output == 'index-png':
        assert torch.equal(found.label_map, expected.label_map)
        return
    planes = found.planes(range(len(CLASSES)))
    torch.testing.assert_close(planes.sum(dim=0), torch.ones(SIZE))  # in far void, too
    labelled = labels_with_void()[:, :33] != VOID
    torch.testing.assert_close(
        planes[:, :, :33][:, labelled], expected.probs[:, :, :33][:, labelled], atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(('mask_format', 'expected'), [('index-png', [0, 3, 7]), ('npz', [0, 2, 3, 7])])
def test_a_refiner_is_given_the_classes_in_play(tmp_path, mask_format, expected):
    task, _ = worker_of(tmp_path, dict(type='CountingRefiner'), mask_format)
    if mask_format == 'npz':
        probs = torch.rand(4, *SIZE)
        probs[3] = 0  # stored, and nowhere
        np.savez(task.masks / 'a.npz', classes=[7, 2, 3, 9], probs=(probs / probs.sum(dim=0)).numpy())
    CountingRefiner.seen.clear()
    found = refined_by(task)
    assert CountingRefiner.seen == [(len(expected), len(expected), 'thing 7')]
    assert set(found.classes) <= set(expected)


def test_a_prior_that_knows_none_of_an_images_classes_leaves_it(tmp_path):
    options = dict(known=['thing 1'])
    task, _ = worker_of(tmp_path, {**CONFIGS['G4Seg'], 'classes': options}, output='index-png')
    assert torch.equal(refined_by(task).label_map, labels_with_void())


def test_scores_of_present_classes_alone(tmp_path):
    task, _ = worker_of(tmp_path, dict(type='CountingRefiner'), 'npy', 'npz', present_only=True)
    scores = torch.rand(len(CLASSES), *SIZE)
    scores[[4, 8]] += 2
    np.save(task.masks / 'a.npy', (scores / scores.sum(dim=0)).numpy().astype(np.float16))
    read = task.reader().read(task.masks / 'a.npy')
    assert read.classes == [0, 4, 8]
    kept = scores[[0, 4, 8]]
    torch.testing.assert_close(read.probs, kept / kept.sum(dim=0), atol=2e-3, rtol=0)
    CountingRefiner.seen.clear()
    refined_by(task)
    assert CountingRefiner.seen == [(3, 3, 'thing 8')]
