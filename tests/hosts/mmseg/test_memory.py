"""Peak memory of refining many classes: a few times the scores' own size, whatever their number.

Shapes: C classes, H W image size.
"""

import json
import subprocess
import sys

from tests.conftest import ROOT

HEIGHT, WIDTH, CLASSES, PRESENT = 512, 1024, 150, 6
LIMIT = 3.6
"""Times the size of the scores, the scores included; 2.8 were measured, and one more copy of them is too many."""

SCRIPT = """
import json, sys
import torch
import mmseg_g4seg
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

refiner_file, height, width, classes, present = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
init_default_scope('mmseg')


def peak_bytes():
    # not ru_maxrss: a child starts with that of the process that made it
    line = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
    return int(line.split()[1]) * 1024


@MODELS.register_module()
class RegionsSegmentor(BaseSegmentor):
    '''Logits (C, H, W): smooth regions of the first classes, unsure where they meet.'''

    out_channels = classes

    def predict(self, inputs, data_samples):
        coarse = 3 * torch.randn(1, present, 8, 16, generator=torch.Generator().manual_seed(0))
        scores = torch.full((classes, height, width), -3.0)
        scores[:present] = torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear')[0]
        labels = scores[:present].argmax(dim=0, keepdim=True)
        for sample in data_samples:
            sample.set_data({'seg_logits': PixelData(data=scores), 'pred_sem_seg': PixelData(data=labels)})
        return data_samples

    extract_feat = encode_decode = _forward = loss = None


refiner = Config.fromfile(refiner_file).refiner
model = MODELS.build(dict(
    type='RefinedSegmentor', refiner=refiner, class_names=[f'thing {i}' for i in range(classes)],
    segmentor=dict(type='RegionsSegmentor', data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True)),
))
sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(height, width), img_shape=(height, width)))
image = 255 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
before = peak_bytes()
with torch.no_grad():
    refined = model.predict(image, [sample])[0]
json.dump(dict(
    peak=peak_bytes() - before,
    present=len(refined.coarse_sem_seg.data.unique()),
    changed=int((refined.coarse_sem_seg.data != refined.pred_sem_seg.data).sum()),
    shape=list(refined.seg_logits.data.shape),
), sys.stdout)
"""


def test_150_classes():
    """G4Seg with the embedded prior, six classes present."""
    refiner = ROOT / 'configs/_base_/refiners/g4seg_tiny.py'
    sizes = map(str, (HEIGHT, WIDTH, CLASSES, PRESENT))
    command = [sys.executable, '-c', SCRIPT, refiner, *sizes]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert (found['shape'], found['present']) == ([CLASSES, HEIGHT, WIDTH], PRESENT)
    assert found['changed'] > 0, 'nothing was refined: the peak says nothing'
    scores = CLASSES * HEIGHT * WIDTH * 4
    assert 1 < found['peak'] / scores < LIMIT
