import numpy as np
import pytest
import torch

from mmseg_g4seg.hosts.mmseg.samples import read_truth
from tests.io.pictures import save_turned


@pytest.mark.parametrize(('tag', 'said'), [(1, 'LoadAnnotations belongs behind Resize'), (6, 'EXIF orientation 6')])
def test_a_truth_that_lies_across_its_picture(tmp_path, tag, said):
    """mmcv turns the picture as its tag says, and leaves the labels as they are."""
    save_turned(tmp_path / 'a.jpg', np.zeros((4, 6, 3), np.uint8), tag)
    sample = {
        'img_path': str(tmp_path / 'a.jpg'),
        'gt_sem_seg': {'data': torch.zeros(1, 4, 6)},
        'pred_sem_seg': {'data': torch.zeros(1, 6, 4)},
    }
    with pytest.raises(ValueError, match=rf'size of the prediction \(6, 4\), got \(4, 6\): .*{said}'):
        read_truth(sample, 2, 255)
