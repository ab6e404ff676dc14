from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('detectron2', reason='Detectron2 is not installed')

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import GeneralizedRCNNWithTTA, build_model
from detectron2.structures import Boxes, Instances

from mmseg_g4seg import build_refiner
from mmseg_g4seg.hosts.detectron2 import RefinedModel
from mmseg_g4seg.hosts.detectron2.instances import refine_instances
from mmseg_g4seg.hosts.detectron2.outputs import OutputRefiner
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner

NAMES = ['person', 'fish']
SIZE = (24, 32)


class Widen(Refiner):
    """Moves every object a pixel to the right, or removes it, and notes what it was given."""

    def __init__(self, vanish=False):
        self.vanish, self.seen, self.batches = vanish, [], []

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.seen += [(prediction, classes, [key]) for prediction, key in zip(predictions, keys, strict=True)]
        self.batches.append(len(predictions))
        return [Prediction(p.probs, p.label_map.roll(1, 1) * (not self.vanish)) for p in predictions]


@pytest.fixture
def instances():
    """A person and a fish that overlap, and an empty mask."""
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, 4:12, 4:12], masks[1, 8:20, 8:20] = True, True
    boxes = torch.tensor([[3.5, 3.5, 12.5, 12.5], [7.5, 7.5, 20.5, 20.5], [0.0, 0, 5, 5]])
    return Instances(
        SIZE, pred_masks=masks, pred_classes=torch.tensor([0, 1, 1]), scores=torch.tensor([0.9, 0.8, 0.1]),
        pred_boxes=Boxes(boxes),
    )  # fmt: skip


def test_each_against_the_rest(instances):
    refiner, image = Widen(), torch.rand(3, *SIZE)
    refined = refine_instances(refiner, image, instances, NAMES, soften=0.015, key='a')
    assert [list(classes) for _, classes, _ in refiner.seen] == [['background', 'person'], ['background', 'fish']]
    assert all(classes.background == 0 and keys == ['a'] for _, classes, keys in refiner.seen)
    coarse = refiner.seen[0][0]
    assert coarse.label_map.bool().equal(instances.pred_masks[0])
    assert 0.5 < coarse.probs[1][coarse.label_map == 1].min() < 0.9
    # the empty one had nothing to refine, and is dropped
    assert refined.pred_masks.equal(instances.pred_masks[:2].roll(1, 2))
    assert refined.pred_masks.dtype == torch.bool
    assert refined.scores.equal(instances.scores[:2])
    assert refined.pred_boxes.tensor.tolist() == [[5, 4, 13, 12], [9, 8, 21, 20]]
    assert instances.pred_boxes.tensor[0, 0] == 3.5


def test_borders_are_as_wide_as_those_of_segments():
    """Good masks lose by a semantic mask's border: at 200 pixels a Gaussian of one pixel, not of three."""
    masks = torch.zeros(1, 200, 200, dtype=torch.bool)
    masks[0, :, :100] = True
    one = Instances((200, 200), pred_masks=masks, pred_classes=torch.tensor([0]), scores=torch.ones(1))
    refiner = Widen()
    refine_instances(refiner, torch.rand(3, 200, 200), one, NAMES)
    unsure = (refiner.seen[0][0].probs[1, 0] - 0.5).abs() < 0.49
    assert 2 <= int(unsure.sum()) <= 6


def test_borders_are_as_wide_as_the_config_says(instances):
    """By the node's key, of instances and of hard segments."""
    unsure = {}
    for soften in (0.005, 0.1):
        refiner, segments = Widen(), torch.ones(SIZE, dtype=torch.long)
        segments[:, 16:] = 2
        info = [dict(id=1, category_id=0), dict(id=2, category_id=1)]
        metadata = SimpleNamespace(name='toy', thing_classes=NAMES, stuff_classes=NAMES)
        refine = OutputRefiner(
            refiner, outputs=['panoptic_seg', 'instances'], input_format='RGB', score_type=None,
            metadata=lambda own=metadata: own, soften=soften,
        )  # fmt: skip
        given = {'panoptic_seg': (segments, info), 'instances': instances}
        refine({'image': 255 * torch.rand(3, *SIZE)}, given, device=torch.device('cpu'))
        unsure[soften] = [int((p.probs.amax(dim=0) < 0.99).sum()) for p, _, _ in refiner.seen]
    assert len(unsure[0.1]) == 3
    assert all(wide > narrow for wide, narrow in zip(unsure[0.1], unsure[0.005], strict=True))


def test_those_of_a_class_are_refined_together(instances):
    """As each alone: order, class and overlap are kept."""
    masks = torch.zeros(12, *SIZE, dtype=torch.bool)
    for i in range(12):
        masks[i, i : i + 6, 2 * i : 2 * i + 6] = True
    classes = torch.tensor([1, 0] * 2 + [1] * 8)
    many = Instances(SIZE, pred_masks=masks, pred_classes=classes, scores=torch.linspace(1, 0.1, 12))
    refiner, image = Widen(), torch.rand(3, *SIZE)
    refined = refine_instances(refiner, image, many, NAMES)
    assert refiner.batches == [2, 8, 2]
    assert refined.pred_masks.equal(masks.roll(1, 2))
    real = build_refiner(dict(type='PAMRRefiner'))
    together = refine_instances(real, image, many, NAMES).pred_masks
    alone = [refine_instances(real, image, many[i : i + 1], NAMES).pred_masks for i in range(12)]
    assert together.equal(torch.cat(alone))
    assert not together.equal(masks)


def test_what_does_not_change_keeps_its_box(instances):
    image = torch.rand(3, *SIZE)
    refined = refine_instances(Widen(), image, instances, ClassList(NAMES, known=['fish']))
    assert refined.pred_masks[0].equal(instances.pred_masks[0])
    assert refined.pred_boxes.tensor[0].equal(instances.pred_boxes.tensor[0])
    assert not refined.pred_masks[1].equal(instances.pred_masks[1])
    assert len(refine_instances(Widen(vanish=True), image, instances, NAMES)) == 0
    assert len(refine_instances(Widen(), image, instances[:0], NAMES)) == 0


@pytest.fixture(scope='module')
def mask_rcnn():
    """Its config and Detectron2's own model, small, with random weights: three detections of 24 x 32 pixels."""
    cfg = get_cfg()
    cfg.MODEL.merge_from_list(['DEVICE', 'cpu', 'MASK_ON', True, 'BACKBONE.NAME', 'build_resnet_fpn_backbone'])
    cfg.MODEL.RESNETS.merge_from_list(['DEPTH', 18, 'RES2_OUT_CHANNELS', 64])
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ['res2', 'res3', 'res4', 'res5']
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.RPN.merge_from_list(['IN_FEATURES', ['p4', 'p5'], 'PRE_NMS_TOPK_TEST', 20, 'POST_NMS_TOPK_TEST', 10])
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32]]
    heads = ['NAME', 'StandardROIHeads', 'IN_FEATURES', ['p2'], 'NUM_CLASSES', 2, 'SCORE_THRESH_TEST', 0.0]
    cfg.MODEL.ROI_HEADS.merge_from_list(heads)
    cfg.MODEL.ROI_BOX_HEAD.merge_from_list(['NAME', 'FastRCNNConvFCHead', 'NUM_FC', 1, 'FC_DIM', 16])
    cfg.MODEL.ROI_MASK_HEAD.merge_from_list(['NAME', 'MaskRCNNConvUpsampleHead', 'NUM_CONV', 1, 'CONV_DIM', 16])
    cfg.TEST.DETECTIONS_PER_IMAGE = 3
    cfg.TEST.AUG.merge_from_list(['MIN_SIZES', (40,), 'MAX_SIZE', 80, 'FLIP', True])
    torch.manual_seed(0)
    MetadataCatalog.get('toy_things').set(thing_classes=NAMES)
    yield cfg, build_model(cfg).eval()
    MetadataCatalog.remove('toy_things')


@pytest.mark.parametrize('augmented', [False, True])
def test_mask_rcnn(mask_rcnn, augmented):
    """Alone, and its views merged before they are refined; sizes are those that were asked for."""
    cfg, plain = mask_rcnn
    refiner = Widen()
    model = RefinedModel(plain, refiner, input_format='BGR', dataset='toy_things', outputs=['instances'])
    views = GeneralizedRCNNWithTTA(cfg, plain) if augmented else plain
    model = model.around(views) if augmented else model
    inputs = [dict(image=torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8), height=SIZE[0], width=SIZE[1])]
    with torch.no_grad():
        [alone], [output] = views(inputs), model(inputs)
    coarse, refined = output['instances_coarse'], output['instances']
    assert coarse.pred_masks.equal(alone['instances'].pred_masks)
    shown = coarse.pred_masks.flatten(1).any(dim=1)
    assert refined.pred_masks.equal(coarse.pred_masks[shown].roll(1, 2))
    assert refined.scores.equal(coarse.scores[shown])
    assert refined.image_size == SIZE
    assert len(refiner.seen) == int(shown.sum()) > 0


def test_a_real_refiner(instances):
    """Mask2Former gives masks as floats, and no boxes that mean anything; the picture shows where the fish ends."""
    instances.pred_masks = instances.pred_masks.float()
    instances.remove('pred_boxes')
    image = torch.zeros(3, *SIZE)
    image[:, 8:20, 9:21] = 1.0
    crf = build_refiner(dict(type='DenseCRFRefiner'))
    refined = refine_instances(crf, image, instances[1:2], NAMES, soften=0.015)
    assert refined.pred_masks.dtype == torch.float32
    wrong = [int((own[0] != image[0]).sum()) for own in (instances.pred_masks[1:], refined.pred_masks)]
    assert wrong[1] < wrong[0] / 2


def test_what_does_not_fit_is_named(instances):
    with pytest.raises(ValueError, match=r'pred_masks: expected \(N, 24, 31\), got \(3, 24, 32\)'):
        refine_instances(Widen(), torch.rand(3, 24, 31), instances, NAMES)
    boxes = Instances(SIZE, pred_classes=instances.pred_classes)
    with pytest.raises(ValueError, match=r"expected pred_masks, got \['pred_classes'\]; is MODEL.MASK_ON set"):
        refine_instances(Widen(), torch.rand(3, *SIZE), boxes, NAMES)
    with pytest.raises(ValueError, match='classes below 1, one a name, got 1'):
        refine_instances(Widen(), torch.rand(3, *SIZE), instances, NAMES[:1])
