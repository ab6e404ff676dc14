"""Names of the real data sets of Detectron2."""

import pytest

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.data import MetadataCatalog
from detectron2.data.catalog import Metadata

from mmseg_g4seg.hosts.detectron2.class_names import (
    instance_names,
    read_metadata,
    segment_names,
    semantic_classes,
)


def ade20k_panoptic():
    """As Mask2Former registers it: 100 things with ids among all 150 classes, all of which are in `stuff_classes`."""
    names = MetadataCatalog.get('ade20k_sem_seg_val').stuff_classes
    things = [i for i in range(150) if i not in (0, 1, 2, 3, 4, 5, 6, 9, 11, 13)]
    return Metadata(
        name='ade20k_panoptic',
        stuff_classes=names,
        thing_classes=[names[i] for i in things],
        thing_dataset_id_to_contiguous_id={i: i for i in things},
        stuff_dataset_id_to_contiguous_id={i: i for i in range(150)},
    )


class TestSemantic:
    def test_ade20k(self):
        classes = semantic_classes(read_metadata('ade20k_sem_seg_val'))
        assert len(classes) == 150
        assert classes[6] == ('road', 'route')
        assert classes[8] == 'window'
        assert classes.background is None

    def test_cityscapes(self):
        classes = semantic_classes(read_metadata('cityscapes_fine_sem_seg_val'))
        assert classes[:3] == ('road', 'sidewalk', 'building')
        assert len(classes) == 19

    def test_things_of_separated_coco_are_the_background(self):
        classes = semantic_classes(read_metadata('coco_2017_val_panoptic_separated'))
        assert len(classes) == 54
        assert classes.background == 0
        # floor-wood, mirror-stuff, tree-merged: nothing of how COCO spells its stuff is left
        assert {'floor wood', 'mirror', 'tree'} <= set(classes)
        assert not [name for name in classes.labels if '-' in name]
        assert len(classes.palette) == 54


class TestSegments:
    def test_separated_coco_has_two_lists(self):
        names = segment_names(read_metadata('coco_2017_val_panoptic_separated'))
        assert len(names.classes) == 54 + 80
        assert names.classes[names.index(dict(category_id=0, isthing=True))] == 'person'
        assert names.classes[names.index(dict(category_id=1, isthing=False))] == 'banner'

    def test_standard_coco_has_one(self):
        metadata = read_metadata('coco_2017_val_panoptic')
        names = segment_names(metadata)
        ids = {**metadata.thing_dataset_id_to_contiguous_id, **metadata.stuff_dataset_id_to_contiguous_id}
        assert len(names.classes) == len(ids) == 133
        assert names.classes[names.index(dict(category_id=ids[1], isthing=True))] == 'person'
        assert names.classes[names.index(dict(category_id=ids[184], isthing=False))] == 'tree'

    def test_ade20k_is_not_called_by_thing_classes(self):
        metadata = ade20k_panoptic()
        assert metadata.thing_classes[12] != 'person'
        assert segment_names(metadata).classes[12] == 'person'
        assert instance_names(metadata)[12] == 'person'

    def test_cityscapes(self):
        names = segment_names(read_metadata('cityscapes_fine_panoptic_val'))
        assert names.classes[names.index(dict(category_id=11, isthing=True))] == 'person'

    def test_classes_that_a_model_was_asked_about(self):
        names = segment_names(ade20k_panoptic(), labels=['hot air balloon', ('car', 'auto')])
        assert names.classes.labels == ['hot air balloon', 'car']


class TestInstances:
    @pytest.mark.parametrize('name', ['coco_2017_val', 'coco_2017_val_panoptic_separated'])
    def test_coco(self, name):
        names = instance_names(read_metadata(name))
        assert len(names) == 80
        assert names[0] == 'person'


def test_a_data_set_that_is_not_registered():
    with pytest.raises(ValueError, match=r"'ade20k_sem_seg_vall'.*nearest: \['ade20k_sem_seg_val"):
        read_metadata('ade20k_sem_seg_vall')
    # asking must not make it one that is
    assert 'ade20k_sem_seg_vall' not in MetadataCatalog.list()


def test_a_data_set_without_names():
    with pytest.raises(ValueError, match=r"get\('bare'\).set\(stuff_classes=\[...\]\)"):
        semantic_classes(Metadata(name='bare', evaluator_type='sem_seg'))
    with pytest.raises(ValueError, match='has no stuff_classes'):
        segment_names(Metadata(name='bare'))
    with pytest.raises(ValueError, match='has no thing_classes'):
        instance_names(Metadata(name='bare'))
