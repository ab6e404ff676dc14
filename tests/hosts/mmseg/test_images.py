"""What a refiner is shown: the picture, or an error that says what was seen."""

import re

import pytest
import torch
from mmseg.models import SegDataPreProcessor

from mmseg_g4seg.hosts.mmseg.images import recover_image
from tests.hosts.mmseg.conftest import plain_config, refined
from tests.hosts.mmseg.test_segmentor import run


@pytest.mark.parametrize(
    ('pixels', 'options', 'seen'),
    [
        (torch.linspace(0, 65535, 192), {}, '0 to 6.554e+04'),  # 16 bits
        (torch.linspace(0, 4095, 192), {}, '0 to 4095'),  # a camera's 12
        (torch.linspace(0, 1, 192), dict(mean=[0.485] * 3, std=[0.229] * 3), '0 to 1'),
        (torch.linspace(-2.1, 2.6, 192), {}, '-2.1 to 2.6'),  # Normalize in the pipeline
        (torch.linspace(-1, 1, 192), dict(mean=[116.0] * 3, std=[57.0] * 3), '-1 to 1'),  # and once more
        (torch.linspace(-116, 139, 192), {}, '-116 to 139'),  # its mean alone
    ],
)
def test_what_is_no_picture(pixels, options, seen):
    """Clamped, these were white or black pictures, and masks were refined by those."""
    preprocessor = SegDataPreProcessor(**options)
    inputs = pixels.view(3, 8, 8)
    if options:
        inputs = (inputs - preprocessor.mean) / preprocessor.std
    with pytest.raises(ValueError, match=rf'a\.png: a refiner needs the picture, .* got {re.escape(seen)}\. Does'):
        recover_image(inputs, {'img_path': 'a.png'}, preprocessor)


@pytest.mark.parametrize('highest', [0, 1, 3, 255])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_dark_pictures(highest, dtype):
    """A night is not a picture of 0 to 1, though it has no pixel above 1."""
    bgr = torch.randint(0, highest + 1, (3, 8, 8))
    preprocessor = SegDataPreProcessor(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    inputs = ((bgr.float() - preprocessor.mean) / preprocessor.std).to(dtype)
    torch.testing.assert_close(recover_image(inputs, {}, preprocessor), bgr.flip(0) / 255, atol=1e-3, rtol=0)


@pytest.mark.parametrize('name', ['img_padding_size', 'padding_size'])
def test_padding_is_no_part_of_the_picture(name):
    padded = torch.full((3, 10, 12), -1000.0)
    padded[:, :8, :9] = 51.0
    metainfo = {'ori_shape': (8, 9), name: (0, 3, 0, 2)}
    assert recover_image(padded, metainfo, SegDataPreProcessor()).unique().tolist() == [pytest.approx(0.2)]


def test_a_pipeline_that_normalises(data_root, tmp_path, refiner_config, checkpoint):
    config = refined(plain_config(data_root, tmp_path), refiner_config)
    config.test_dataloader.dataset.pipeline.insert(
        1, dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    )
    for name in ('mean', 'std'):
        config.model.segmentor.data_preprocessor.pop(name)
    with pytest.raises(ValueError, match=r'0\.png: a refiner needs the picture.*Normalize'):
        run(config, checkpoint)
