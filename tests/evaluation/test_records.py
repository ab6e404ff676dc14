import json

import pytest
import torch

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.evaluation.records import (
    BOUNDARIES,
    COARSE,
    MASKS,
    REFINED,
    ImageRecord,
    dense_areas,
    dense_pixels,
    measure_image,
)
from mmseg_g4seg.ops.boundary import boundary_areas
from tests.evaluation.examples import CLASSES, make_records, random_maps


def test_all_areas_are_there_again():
    """Sparse over classes, and dense again, nothing is lost: of each image, stage and kind."""
    records = make_records(3, chain=True)
    for stage, name in enumerate((COARSE, 'PAMR', REFINED)):
        for kind, count in ((MASKS, class_areas), (BOUNDARIES, boundary_areas)):
            expected = []
            for i in range(3):
                maps, truth = random_maps(i, chain=True)
                expected.append(count(maps[name], truth, len(CLASSES)))
            assert torch.equal(dense_areas(records, stage, len(CLASSES), kind=kind), torch.stack(expected))


def test_only_classes_that_occur_are_kept():
    truth, mask = torch.full((4, 4), 7), torch.full((4, 4), 2)
    mask[0], truth[0] = 255, 255
    record = measure_image('a', {COARSE: mask, REFINED: mask.flip(0)}, truth, 150)
    assert record.classes.tolist() == [2, 7]
    assert record.areas.shape == (2, 2, 3, 2)
    assert record.class_pixels.tolist() == [[12, 0], [12, 0]]
    assert (record.pixels, record.changed) == (16, 8)


def test_pixels_count_where_the_truth_is_silent():
    truth = torch.full((3, 5), 255)
    truth[0] = 1
    record = measure_image('a', {COARSE: torch.zeros(3, 5).long(), REFINED: torch.ones(3, 5).long()}, truth, 2)
    assert dense_pixels([record], 0, 2).tolist() == [[15, 0]]
    assert dense_pixels([record], -1, 2).tolist() == [[0, 15]]
    assert dense_areas([record], -1, 2).tolist() == [[[0, 5], [0, 5], [0, 5]]]


def test_without_boundaries_or_truth():
    maps, truth = random_maps(0)
    assert measure_image('a', maps, truth, 4, boundary=False).areas.shape[1] == 1
    assert measure_image('a', maps, None, 4).areas is None
    with pytest.raises(ValueError, match=r'\(40, 60\)'):
        measure_image('a', maps, truth[:-1], 4)


@pytest.mark.parametrize('sort_keys', [False, True])
@pytest.mark.parametrize('options', [{}, {'chain': True}, {'labelled': False}])
def test_a_line_of_json_and_back(options, sort_keys):
    for record in make_records(2, **options):
        found = ImageRecord.from_dict(json.loads(json.dumps(record.as_dict(), sort_keys=sort_keys)))
        assert (found.name, found.stages, found.pixels, found.changed, found.seconds) == (
            record.name,
            record.stages,
            record.pixels,
            record.changed,
            record.seconds,
        )
        for own, read in ((record.classes, found.classes), (record.class_pixels, found.class_pixels)):
            assert torch.equal(own, read)
        assert (found.areas is record.areas is None) or torch.equal(found.areas, record.areas)


def test_an_image_without_any_class():
    nothing = torch.full((3, 3), 255)
    record = measure_image('a', {COARSE: nothing, REFINED: nothing}, nothing, 4)
    found = ImageRecord.from_dict(json.loads(json.dumps(record.as_dict())))
    assert found.areas.shape == record.areas.shape == (2, 2, 3, 0)
    assert found.areas.dtype == torch.int64
    assert dense_areas([found], 0, 4).sum() == 0


def test_something_else_is_refused():
    content = make_records(1)[0].as_dict()
    del content['class_pixels']
    with pytest.raises(ValueError, match=r"with 'class_pixels', got .*'areas'.* start the run anew"):
        ImageRecord.from_dict(content)
