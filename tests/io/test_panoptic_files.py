import json

import pytest
import torch
from PIL import Image

from mmseg_g4seg.io.panoptic_files import panoptic_png, read_panoptic_json, read_panoptic_png


def test_ids_of_three_bytes_come_back(tmp_path):
    ids = torch.tensor([[0, 1, 255], [256, 70_000, 256**3 - 1]])
    path = tmp_path / 'a.png'
    path.write_bytes(panoptic_png(ids.int()))
    assert read_panoptic_png(path).equal(ids)
    # 70,000 is 112 + 256 * 17 + 65,536
    assert Image.open(path).getpixel((1, 1)) == (112, 17, 1)
    with pytest.raises(ValueError, match='expected ids from 0 to 16777215, got -1 to 3'):
        panoptic_png(torch.tensor([[-1, 3]]))
    Image.new('L', (2, 2)).save(path)
    with pytest.raises(ValueError, match='as RGB, got mode L'):
        read_panoptic_png(path)


def test_a_file_of_predictions(tmp_path):
    path = tmp_path / 'a.json'
    segments = [dict(id=3, category_id=17)]
    entry = dict(image_id=7, file_name='7.png', segments_info=segments)
    path.write_text(json.dumps(dict(annotations=[entry], images=[dict(id=7, file_name='7.jpg')])))
    read = read_panoptic_json(path)
    assert read.annotations == {7: entry}
    assert read.categories == []
    assert read.image_names() == {7: '7.jpg'}
    path.write_text(json.dumps(dict(annotations=[entry], categories=[dict(id=17, name='cat')])))
    assert read_panoptic_json(path).categories == [dict(id=17, name='cat', isthing=0)]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'expected JSON, got'),
        ('{}', "COCO panoptic JSON: .* got none of 'annotations'"),
        ('{"annotations": [{"image_id": 1, "file_name": "a"}]}', "got none of 'segments_info'"),
        ('{"annotations": [{"image_id": 1, "file_name": "a", "segments_info": [{"id": 1}]}]}', "of 'category_id'"),
        ('[1]', 'got none of list indices'),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_panoptic_json(tmp_path / 'a.json')


def test_an_image_has_one_annotation(tmp_path):
    """Of two runs in one file the last entry stood for both."""
    entries = [dict(image_id=i, file_name=f'{i}.png', segments_info=[]) for i in (1, 7, 7)]
    (tmp_path / 'a.json').write_text(json.dumps(dict(annotations=entries)), encoding='utf-8-sig')
    with pytest.raises(ValueError, match=r'a\.json: expected one annotation an image, got 2 of image_id 7'):
        read_panoptic_json(tmp_path / 'a.json')
