"""Peak memory of refining many classes: a few times the scores' own size, whatever their number.

Shapes: C classes, H W image size.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample

from mmseg_g4seg import build_refiner
from mmseg_g4seg.hosts.mmseg.segmentor import RefinedSegmentor
from tests.conftest import ROOT

HEIGHT, WIDTH, CLASSES, PRESENT = 512, 1024, 150, 6
LIMIT = 3.6
"""Times the size of the scores, the scores included; 2.8 were measured, and one more copy of them is too many."""


class RegionsSegmentor(BaseSegmentor):
    """Logits (C, H, W): smooth regions of the first classes, unsure where they meet."""

    out_channels = CLASSES

    def predict(self, inputs, data_samples):
        coarse = 3 * torch.randn(1, PRESENT, 8, 16, generator=torch.Generator().manual_seed(0))
        scores = torch.full((CLASSES, HEIGHT, WIDTH), -3.0)
        scores[:PRESENT] = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode='bilinear')[0]
        labels = scores[:PRESENT].argmax(dim=0, keepdim=True)
        for sample in data_samples:
            sample.set_data({'seg_logits': PixelData(data=scores), 'pred_sem_seg': PixelData(data=labels)})
        return data_samples

    extract_feat = encode_decode = _forward = loss = None


def peak_bytes() -> int:
    """Not ru_maxrss: a child starts with that of the process that made it."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))


def refine_once(refiner_file: Path) -> dict:
    """Refines one image; returns the bytes that were added, and what the refiner did."""
    torch.set_num_threads(1)  # a fork has none of its parent's threads, and would wait for them
    segmentor = RegionsSegmentor(data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True))
    refiner = build_refiner(Config.fromfile(refiner_file).refiner)
    model = RefinedSegmentor(segmentor, refiner, class_names=[f'thing {i}' for i in range(CLASSES)])
    metainfo = dict(img_path='a.png', ori_shape=(HEIGHT, WIDTH), img_shape=(HEIGHT, WIDTH))
    image = 255 * torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    before = peak_bytes()
    with torch.no_grad():
        refined = model.predict(image, [SegDataSample(metainfo=metainfo)])[0]
    return dict(
        peak=peak_bytes() - before,
        present=len(refined.coarse_sem_seg.data.unique()),
        changed=int((refined.coarse_sem_seg.data != refined.pred_sem_seg.data).sum()),
        shape=list(refined.seg_logits.data.shape),
    )


def test_150_classes():
    """G4Seg with the embedded prior, six classes present; in a process of its own, whose peak nothing else raises."""
    with ProcessPoolExecutor(1, mp_context=get_context('fork')) as pool:
        found = pool.submit(refine_once, ROOT / 'configs/_base_/refiners/g4seg_tiny.py').result()
    assert (found['shape'], found['present']) == ([CLASSES, HEIGHT, WIDTH], PRESENT)
    assert found['changed'] > 0, 'nothing was refined: the peak says nothing'
    scores = CLASSES * HEIGHT * WIDTH * 4
    assert 1 < found['peak'] / scores < LIMIT
