"""PQ and AP of a run through the wrapper, against Detectron2's own evaluators."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('detectron2', reason='Detectron2 is not installed')
pytest.importorskip('panopticapi', reason='panopticapi is not installed')

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOPanopticEvaluator, DatasetEvaluators
from detectron2.structures import Boxes, BoxMode, Instances

from mmseg_g4seg.cli.refine_panoptic import main as refine_panoptic
from mmseg_g4seg.hosts.detectron2 import BeforeRefinement, RefinedModel, RefinementEvaluator
from mmseg_g4seg.io.panoptic_files import panoptic_png
from tests.conftest import ROOT

from .mask2former import build_mask2former, random_inputs

NAME, CLASSES = 'toy_panoptic', ['sky', 'grass', 'fish', 'star']
IDS = {10: 0, 20: 1, 30: 2, 40: 3}
HEIGHT, WIDTH, COUNT = 64, 96, 3


@pytest.fixture(scope='module')
def plain():
    return build_mask2former()


@pytest.fixture(scope='module')
def dataset(tmp_path_factory, plain):
    """Random pictures, and as their truth what the model says of them, moved a little, with a crowd and void."""
    folder = tmp_path_factory.mktemp('panoptic')
    inputs = random_inputs(COUNT, HEIGHT, WIDTH)
    items, annotations = [], []
    with torch.no_grad():
        predicted = [output['panoptic_seg'] for output in plain(inputs)]
    for i, (ids, segments) in enumerate(predicted):
        pixels = inputs[i]['image'].permute(1, 2, 0).numpy().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')
        true = ids.roll(1, 1)
        true[:4] = 0
        (folder / f'{i}_true.png').write_bytes(panoptic_png(true))
        entries = [
            dict(
                id=s['id'],
                category_id=10 * s['category_id'] + 10,
                iscrowd=int(n == 3),
                area=int((true == s['id']).sum()),
            )
            for n, s in enumerate(segments)
        ]
        annotations.append(dict(image_id=i, file_name=f'{i}_true.png', segments_info=entries))
        masks = [(torch.arange(WIDTH) // 32 == c).expand(HEIGHT, WIDTH).numpy() for c in (1, 2)]
        items.append(
            dict(
                file_name=str(folder / f'{i}.png'), image_id=i, height=HEIGHT, width=WIDTH,
                annotations=[dict(category_id=c, segmentation=rle(m), iscrowd=0, bbox=[0, 0, 1, 1],
                                  bbox_mode=BoxMode.XYWH_ABS) for c, m in zip((2, 3), masks, strict=True)],
            )
        )  # fmt: skip
    categories = [dict(id=i, name=CLASSES[c], isthing=int(c > 1)) for i, c in IDS.items()]
    images = [dict(id=i, file_name=f'{i}.png', height=HEIGHT, width=WIDTH) for i in range(COUNT)]
    (folder / 'true.json').write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    DatasetCatalog.register(NAME, lambda: items)
    MetadataCatalog.get(NAME).set(
        stuff_classes=CLASSES, thing_classes=CLASSES, evaluator_type='coco_panoptic_seg', panoptic_root=str(folder),
        panoptic_json=str(folder / 'true.json'), stuff_dataset_id_to_contiguous_id=IDS,
        thing_dataset_id_to_contiguous_id={30: 2, 40: 3},
    )  # fmt: skip
    yield items
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def rle(mask):
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.fixture(scope='module')
def run(dataset, plain):
    """Inputs, and outputs of a real Mask2Former behind the wrapper and without it."""
    plain.metadata = MetadataCatalog.get(NAME)
    refiner = dict(type='PAMRRefiner')
    model = RefinedModel(plain, refiner, input_format='RGB', dataset=NAME, outputs=['panoptic_seg']).eval()
    inputs = [
        {**item, 'image': torch.from_numpy(np.array(Image.open(item['file_name']))).permute(2, 0, 1)}
        for item in dataset
    ]
    with torch.no_grad():
        return inputs, model(inputs), plain(inputs)


def copies(outputs):
    """Evaluators write into `segments_info`."""
    pairs = [
        {name: (own[0], [dict(s) for s in own[1]]) for name, own in o.items() if isinstance(own, tuple)}
        for o in outputs
    ]
    return [{**o, **pair} for o, pair in zip(outputs, pairs, strict=True)]


def evaluate(evaluator, inputs, outputs):
    evaluator.reset()
    evaluator.process(inputs, outputs)
    return evaluator.evaluate()


def test_panoptic_figures_are_those_of_detectron2(run, tmp_path):
    inputs, outputs, plain = run
    for output, own in zip(outputs, plain, strict=True):
        assert output['panoptic_seg_coarse'][0].equal(own['panoptic_seg'][0])
        assert output['panoptic_seg_coarse'][1] == own['panoptic_seg'][1]
        assert not output['panoptic_seg'][0].equal(own['panoptic_seg'][0])
    ours = evaluate(RefinementEvaluator(NAME, tmp_path / 'own', measures=['panoptic_seg']), inputs, copies(outputs))
    ours = ours['refinement']
    theirs = evaluate(DatasetEvaluators([COCOPanopticEvaluator(NAME, str(tmp_path / 'a'))]), inputs, copies(outputs))[
        'panoptic_seg'
    ]
    before = evaluate(BeforeRefinement(COCOPanopticEvaluator(NAME, str(tmp_path / 'b'))), inputs, copies(outputs))[
        'coarse_panoptic_seg'
    ]
    for name, other in (('PQ', 'PQ'), ('SQ', 'SQ'), ('RQ', 'RQ'), ('PQ things', 'PQ_th'), ('PQ stuff', 'PQ_st')):
        assert ours[name] == round(theirs[other], 2)
        assert ours[f'coarse_{name}'] == round(before[other], 2)
    assert ours['PQ'] > 0
    files = sorted(path.name for path in (tmp_path / 'own/panoptic_seg').iterdir())
    assert files == ['classes.csv', 'images.csv', 'metrics.json', 'report.html', 'report_data.json', 'table.txt']
    page = (tmp_path / 'own/panoptic_seg/report.html').read_text()
    assert 'RQ of each class' in page
    changed = [image['name'] for image in json.loads((tmp_path / 'own/panoptic_seg/metrics.json').read_text())['images']
               if image['coarse'] != image['refined']]  # fmt: skip
    assert changed
    assert page.count('<figure') == len(changed)
    assert page.count('--photo: url') == len(changed)


def test_an_evaluator_that_rewrote_the_segments_before(run, tmp_path):
    inputs, outputs, _ = run
    evaluators = DatasetEvaluators(
        [COCOPanopticEvaluator(NAME, str(tmp_path)), RefinementEvaluator(NAME, measures=['panoptic_seg'])]
    )
    with pytest.raises(ValueError, match=r'expected isthing, .* belongs before .* such as COCOPanopticEvaluator'):
        evaluate(evaluators, inputs, copies(outputs))


def test_predictions_that_detectron2_saves_are_refined_by_a_command(run, dataset, tmp_path, capsys):
    """By the guide's recipe: the evaluator deletes its PNGs when it is done."""
    inputs, _, plain = run
    guide = (ROOT / 'docs/guides/detectron2.md').read_text()
    (recipe,) = [block for block in guide.split('```python\n') if 'class KeepingEvaluator' in block]
    names = {}
    exec(recipe.split('```')[0], names)
    folder = tmp_path / 'out'
    theirs = evaluate(names['KeepingEvaluator'](NAME, str(folder)), inputs, copies(plain))['panoptic_seg']
    assert len(list((folder / 'pngs').iterdir())) == COUNT
    config = tmp_path / 'pamr.py'
    config.write_text("refiner = dict(type='PAMRRefiner')\n")
    metadata = MetadataCatalog.get(NAME)
    command = ['--images', metadata.panoptic_root, '--panoptic', folder / 'pngs', '--json', folder / 'predictions.json',
               '--labels', metadata.panoptic_root, '--labels-json', metadata.panoptic_json, '--refiner', config,
               '--out', tmp_path / 'refined']  # fmt: skip
    assert refine_panoptic([str(word) for word in command]) == 0, capsys.readouterr().err
    metrics = json.loads((tmp_path / 'refined/metrics.json').read_text())
    assert metrics['coarse']['PQ'] == round(theirs['PQ'], 2)
    assert metrics['refined']['PQ'] != metrics['coarse']['PQ']


def test_instances_have_an_ap(dataset, tmp_path):
    """The true masks as predictions, and half of them before."""
    inputs, outputs = [], []
    for item in dataset:
        from pycocotools import mask as coco

        masks = torch.stack([torch.from_numpy(coco.decode(a['segmentation'])).bool() for a in item['annotations']])
        true = Instances(
            (HEIGHT, WIDTH), pred_masks=masks, pred_classes=torch.tensor([2, 3]), scores=torch.tensor([0.9, 0.8]),
            pred_boxes=Boxes(torch.zeros(2, 4)),
        )  # fmt: skip
        inputs.append(item)
        outputs.append({'instances': true, 'instances_coarse': true[:1]})
    found = evaluate(RefinementEvaluator(NAME, tmp_path, measures=['instances']), inputs, outputs)['refinement']
    assert (found['coarse_AP'], found['AP'], found['AP50']) == (50.0, 100.0, 100.0)
    assert found['gain_low'] == found['gain_high'] == 50.0
    page = (tmp_path / 'instances/report.html').read_text()
    assert page.count('<figure') == COUNT
    assert 'raised mask AP by 50.00 points' in page


def test_a_data_set_without_truth_is_named(dataset):
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(MetadataCatalog.get(NAME), 'panoptic_json')
        with pytest.raises(ValueError, match=r"'toy_panoptic' has no panoptic_json, .* MetadataCatalog"):
            RefinementEvaluator(NAME, measures=['panoptic_seg'])
