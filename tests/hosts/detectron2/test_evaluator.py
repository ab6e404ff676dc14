"""Evaluators of coarse and refined outputs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, SemSegEvaluator

from mmseg_g4seg.hosts.detectron2 import BeforeRefinement, RefinementEvaluator
from mmseg_g4seg.hosts.detectron2.evaluator import coarse_output

from .toy import CLASSES, NAME, SIZE


def random_run(seed=0):
    """Inputs and outputs of all images, refined scores being nearer to the truth than coarse ones."""
    generator = torch.Generator().manual_seed(seed)
    inputs, outputs = [], []
    for item in DatasetCatalog.get(NAME):
        truth = torch.from_numpy(np.array(Image.open(item['sem_seg_file_name']))).long().clamp(max=3)
        coarse = torch.rand(len(CLASSES), *SIZE, generator=generator)
        onehot = torch.nn.functional.one_hot(truth, len(CLASSES)).permute(2, 0, 1)
        stages = {'first': (coarse + 0.2 * onehot).argmax(0), 'second': (coarse + 0.4 * onehot).argmax(0)}
        inputs.append(dict(file_name=item['file_name']))
        outputs.append(
            dict(
                sem_seg=coarse + 0.4 * onehot,
                sem_seg_coarse=coarse,
                sem_seg_stages=stages,
                sem_seg_seconds=dict(coarse=1.0, first=2.0, second=3.0),
            )
        )
    return inputs, outputs


def evaluate(evaluator, inputs, outputs):
    evaluator.reset()
    for item, output in zip(inputs, outputs, strict=True):
        evaluator.process([item], [output])
    return evaluator.evaluate()


class TestRefinementEvaluator:
    def test_figures_are_those_of_detectron2(self, scenes, tmp_path):
        inputs, outputs = random_run()
        ours = evaluate(RefinementEvaluator(NAME, tmp_path), inputs, outputs)['refinement']
        theirs = evaluate(
            DatasetEvaluators([SemSegEvaluator(NAME), BeforeRefinement(SemSegEvaluator(NAME))]), inputs, outputs
        )
        for prefix, figures in (('', theirs['sem_seg']), ('coarse_', theirs['coarse_sem_seg'])):
            for own, other in (('mIoU', 'mIoU'), ('mAcc', 'mACC'), ('aAcc', 'pACC')):
                assert ours[prefix + own] == round(figures[other], 2)
        assert ours['coarse_mIoU'] < ours['first_mIoU'] < ours['mIoU']
        assert ours['gain_low'] > 0

    def test_its_files(self, scenes, tmp_path):
        evaluate(RefinementEvaluator(NAME, tmp_path), *random_run())
        files = {path.name for path in (tmp_path / 'sem_seg').iterdir()}
        tables = {'metrics.json', 'classes.csv', 'images.csv', 'table.txt'}
        assert files == {*tables, 'report.html', 'report_data.json'}
        content = json.loads((tmp_path / 'sem_seg/metrics.json').read_text())
        assert content['seconds'] == dict(coarse=1.0, first=2.0, second=3.0, refine=5.0)
        assert [image['name'] for image in content['images']] == ['0.png', '1.png', '2.png']
        assert list(content['coarse']['classes']['BIoU']) == CLASSES
        page = (tmp_path / 'sem_seg/report.html').read_text()
        assert f'sem_seg of {NAME}' in page
        assert sum(f'True mask of {i}.png' in page for i in range(3)) == sum(
            i['refined'] != i['coarse'] for i in content['images']
        )

    def test_order_and_repeated_images_change_nothing(self, scenes, tmp_path):
        inputs, outputs = random_run()
        first = evaluate(RefinementEvaluator(NAME, tmp_path / 'a'), inputs, outputs)
        order = [2, 0, 1, 0]
        again = evaluate(
            RefinementEvaluator(NAME, tmp_path / 'b'), [inputs[i] for i in order], [outputs[i] for i in order]
        )
        assert again == first
        files = [(tmp_path / folder / 'sem_seg/metrics.json').read_text() for folder in 'ab']
        assert files[0] == files[1]

    def test_a_plain_model_has_no_gain(self, scenes):
        inputs, outputs = random_run()
        found = evaluate(RefinementEvaluator(NAME), inputs, [dict(sem_seg=o['sem_seg']) for o in outputs])
        assert found['refinement']['gain_low'] == found['refinement']['gain_high'] == 0
        assert found['refinement']['mIoU'] == found['refinement']['coarse_mIoU']

    def test_errors_name_the_fault(self, scenes, tmp_path):
        inputs, outputs = random_run()
        with pytest.raises(ValueError, match=r"expected 'sem_seg', got \['instances'\]"):
            evaluate(RefinementEvaluator(NAME), inputs[:1], [dict(instances=None)])
        with pytest.raises(ValueError, match=r'other.png: expected an image of the data set'):
            evaluate(RefinementEvaluator(NAME), [dict(file_name='other.png')], outputs[:1])
        with pytest.raises(ValueError, match=r"expected some of .*'sem_seg'.*, got 'boxes'"):
            RefinementEvaluator(NAME, measures=['boxes'])
        with pytest.raises(ValueError, match='no image was evaluated'):
            evaluate(RefinementEvaluator(NAME), [], [])

    @pytest.mark.parametrize(
        ('fields', 'item', 'said'),
        [
            (dict(thing_classes=['a']), {}, 'has no stuff_classes, and a refiner needs names'),
            (dict(stuff_classes=CLASSES), {}, 'no truth for .*: expected sem_seg_file_name'),
        ],
    )
    def test_data_sets_that_cannot_be_evaluated(self, tmp_path, fields, item, said):
        name = f'incomplete_{sorted(fields)[0]}'
        DatasetCatalog.register(name, lambda: [dict(file_name='0.png', **item)])
        MetadataCatalog.get(name).set(**fields)
        with pytest.raises(ValueError, match=said):
            RefinementEvaluator(name)

    def test_a_truth_with_ids_of_the_data_set(self, scenes, tmp_path):
        raw = tmp_path / 'raw.png'
        Image.fromarray(np.full(SIZE, 33, np.uint8)).save(raw)
        name = 'raw_ids'
        if name not in DatasetCatalog.list():
            DatasetCatalog.register(name, lambda: [dict(file_name='0.png', sem_seg_file_name=str(raw))])
            MetadataCatalog.get(name).set(stuff_classes=CLASSES)
        output = dict(sem_seg=torch.rand(len(CLASSES), *SIZE))
        with pytest.raises(ValueError, match=r'raw.png: expected labels below 4 or 255, got \[33\].*of training'):
            evaluate(RefinementEvaluator(name), [dict(file_name='0.png')], [output])


class Rewriting(DatasetEvaluator):
    """As COCOPanopticEvaluator does with what it is given."""

    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        for output in outputs:
            ids, segments = output['panoptic_seg']
            self.seen.append((int(ids[0, 0]), [segment.pop('isthing') for segment in segments]))
            for segment in segments:
                segment['category_id'] = 99

    def evaluate(self):
        return {'panoptic_seg': {'seen': self.seen}}


class TestBeforeRefinement:
    def test_it_gives_copies_of_the_coarse_outputs(self):
        segments = [dict(id=1, category_id=3, isthing=True)]
        output = dict(
            panoptic_seg=(torch.ones(2, 2), [dict(segments[0], id=2)]),
            panoptic_seg_coarse=(torch.zeros(2, 2), segments),
            instances='refined',
            instances_coarse='plain',
            sem_seg='refined by nobody',
        )
        found = evaluate(BeforeRefinement(Rewriting()), [{}], [output])
        assert found == {'coarse_panoptic_seg': {'seen': [(0, [True])]}}
        assert segments == [dict(id=1, category_id=3, isthing=True)]
        assert coarse_output(output)['instances'] == 'plain'
        assert coarse_output(output).keys() == {'panoptic_seg', 'instances', 'sem_seg'}
        assert coarse_output(output)['sem_seg'] == 'refined by nobody'

    def test_what_was_not_refined_has_the_same_figures_twice(self):
        """Panoptic-DeepLab's ids: its evaluator adds 1 in place, and void, -1, would become a segment of class 0."""

        class Raising(Rewriting):
            def process(self, inputs, outputs):
                for output in outputs:
                    ids, _ = output['panoptic_seg']
                    self.seen.append(ids.tolist())
                    ids += 1

        evaluators = DatasetEvaluators([BeforeRefinement(Raising()), Raising()])
        found = evaluate(evaluators, [{}], [dict(panoptic_seg=(torch.tensor([[-1, 2001]]), None))])
        assert found['coarse_panoptic_seg'] == found['panoptic_seg'] == {'seen': [[[-1, 2001]]]}

    def test_other_processes_have_no_results(self):
        class Silent(Rewriting):
            def evaluate(self):
                return None

        assert evaluate(BeforeRefinement(Silent()), [], []) is None
