"""Saved predictions in COCO's format: refined, written again, measured; by the command, and after an interrupt."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.cli.refine_panoptic import main
from mmseg_g4seg.hosts.coco_panoptic import SavedPanoptic, refine_saved_panoptic
from mmseg_g4seg.hosts.coco_panoptic.run import PanopticWorker
from mmseg_g4seg.hosts.folder.run_state import RunState
from mmseg_g4seg.io.panoptic_files import panoptic_png, read_panoptic_json, read_panoptic_png

CATEGORIES = [
    dict(id=3, name='sky-other-merged', isthing=0),
    dict(id=40, name='ball', isthing=1),
    dict(id=41, name='star', isthing=1),
]
SEGMENTS = [
    dict(id=1000, category_id=3, area=0, isthing=0),
    dict(id=2, category_id=40, bbox=[0, 0, 1, 1]),
    dict(id=70000, category_id=40),
]
COUNT = 3


def write_set(folder):
    """Three pictures of two balls in the sky; predictions two pixels off, with a strip of void."""
    generator = np.random.default_rng(0)
    for name in ('images', 'pred', 'true'):
        (folder / name).mkdir(parents=True)
    annotations = []
    for i in range(COUNT):
        ids = torch.full((24, 40), 1000)
        ids[6:18, 5:15], ids[6:18, 22 + i : 34 + i] = 2, 70000
        colours = np.where((ids == 1000)[..., None], [90, 150, 240], [230, 80, 60])
        noise = generator.integers(-8, 8, (24, 40, 3))
        Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8)).save(folder / f'images/{i}.jpg', quality=95)
        (folder / f'true/{i}.png').write_bytes(panoptic_png(ids))
        shifted = ids.roll(2, 1)
        shifted[:3] = 0
        (folder / f'pred/{i}.png').write_bytes(panoptic_png(shifted))
        true = [{**s, 'area': int((ids == s['id']).sum()), 'iscrowd': 0} for s in SEGMENTS]
        annotations.append(dict(image_id=i, file_name=f'{i}.png', segments_info=true))
    images = [dict(id=i, file_name=f'{i}.jpg', height=24, width=40) for i in range(COUNT)]
    truth = dict(images=images, categories=CATEGORIES, annotations=annotations)
    (folder / 'true.json').write_text(json.dumps(truth))
    own = [{**a, 'segments_info': SEGMENTS} for a in annotations]
    (folder / 'pred.json').write_text(json.dumps({**truth, 'annotations': own}))
    return folder


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp('saved'))


def make_task(folder, out, **options):
    truth = dict(labels=folder / 'true', labels_json=folder / 'true.json')
    given = dict(images=folder / 'images', panoptic=folder / 'pred', json_file=folder / 'pred.json', out=out,
                 refiner=dict(type='DenseCRFRefiner'), soften=0.03, **truth)  # fmt: skip
    return SavedPanoptic(**{**given, **options})


@pytest.fixture(scope='module')
def finished(saved, tmp_path_factory):
    out = tmp_path_factory.mktemp('done') / 'out'
    return out, refine_saved_panoptic(make_task(saved, out))


def test_what_is_written_can_be_evaluated(saved, finished):
    out, report = finished
    evaluation = pytest.importorskip('panopticapi.evaluation', reason='panopticapi is not installed')
    written, truth = read_panoptic_json(out / 'predictions.json'), read_panoptic_json(saved / 'true.json')
    assert written.categories == CATEGORIES
    pairs = [(truth.annotations[i], written.annotations[i]) for i in range(COUNT)]
    stat = evaluation.pq_compute_single_core(
        0, pairs, saved / 'true', out / 'predictions', {c['id']: c for c in CATEGORIES}
    )
    expected, _ = stat.pq_average({c['id']: c for c in CATEGORIES}, None)
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['refined']['PQ'] == round(100 * expected['pq'], 2)
    assert metrics['gain']['PQ'] > 1
    assert set(metrics['refined']['classes']['PQ']) == {c['name'] for c in CATEGORIES}
    assert report['table'].endswith('0 errors')
    assert f'PQ gain {metrics["gain"]["PQ"]:+.2f}' in (out / 'table.txt').read_text()


def test_a_page_shows_what_was_gained(saved, finished):
    out, _ = finished
    page = (out / 'report.html').read_text()
    assert 'Segments of pred' in page
    assert 'raised PQ by' in page
    assert page.count('<figure') == COUNT
    assert page.count('--photo: url') == COUNT


def test_void_stays_and_segments_keep_their_ids(saved, finished):
    out, _ = finished
    written = read_panoptic_json(out / 'predictions.json')
    for i in range(COUNT):
        before, after = (read_panoptic_png(folder / f'{i}.png') for folder in (saved / 'pred', out / 'predictions'))
        assert (before == 0).equal(after == 0)
        assert not before.equal(after)
        info = {s['id']: s for s in written.annotations[i]['segments_info']}
        assert set(info) == set(after.unique().tolist()) - {0}
        assert info[1000]['area'] == int((after == 1000).sum())
        rows, cols = (after == 2).nonzero().unbind(1)
        assert info[2]['bbox'] == [cols.min(), rows.min(), cols.max() - cols.min() + 1, rows.max() - rows.min() + 1]


def test_a_run_goes_on_where_it_was_interrupted(saved, finished, tmp_path, monkeypatch):
    whole, done = PanopticWorker.refine, []

    def refine(self, job):
        if job.image_id == 1 and len(done) == 1:
            raise KeyboardInterrupt
        done.append(job.image_id)
        return whole(self, job)

    monkeypatch.setattr(PanopticWorker, 'refine', refine)
    with pytest.raises(KeyboardInterrupt):
        refine_saved_panoptic(make_task(saved, tmp_path / 'out'))
    assert not (tmp_path / 'out/predictions.json').exists()
    done.append(None)  # from here on nothing interrupts
    refine_saved_panoptic(make_task(saved, tmp_path / 'out'))
    assert done == [0, None, 1, 2]
    refine_saved_panoptic(make_task(saved, tmp_path / 'out'))
    assert done == [0, None, 1, 2]
    for name in ('predictions.json', 'metrics.json', 'predictions/2.png'):
        assert (tmp_path / 'out' / name).read_bytes() == (finished[0] / name).read_bytes()
    with pytest.raises(FileExistsError, match=r'results of other settings \(refiner\)'):
        refine_saved_panoptic(make_task(saved, tmp_path / 'out', refiner=dict(type='PAMRRefiner')))


def test_a_worker_of_another_process_refines_the_same(saved, finished, tmp_path):
    task = make_task(saved, tmp_path / 'out')
    sent = pickle.loads(pickle.dumps(PanopticWorker(task, RunState(task.out, task.settings()))))
    content, _ = sent.refine(task.jobs()[1])
    assert content == (finished[0] / 'predictions/1.png').read_bytes()


def test_bad_files_are_noted_and_the_rest_goes_on(tmp_path, capsys):
    folder = write_set(tmp_path / 'set')
    (folder / 'images/0.jpg').unlink()
    ids = read_panoptic_png(folder / 'pred/1.png')
    ids[0, 0] = 5
    (folder / 'pred/1.png').write_bytes(panoptic_png(ids))
    (folder / 'fill.py').write_text("refiner = dict(type='FillVoid')\n")
    command = ['--images', folder / 'images', '--panoptic', folder / 'pred', '--json', folder / 'pred.json',
               '--out', tmp_path / 'out', '--refiner', folder / 'fill.py']  # fmt: skip
    assert main([str(word) for word in command]) == 1
    shown = capsys.readouterr().out
    assert '1 predictions refined' in shown
    assert 'no image of the name 0' in shown
    assert 'expected ids that segments_info lists, got [5]' in shown
    assert list(read_panoptic_json(tmp_path / 'out/predictions.json').annotations) == [2]
    # the control: void is filled, and nothing else changes
    before, after = (read_panoptic_png(p / '2.png') for p in (folder / 'pred', tmp_path / 'out/predictions'))
    assert not (after == 0).any()
    assert after[before != 0].equal(before[before != 0])


def test_what_cannot_be_begun(saved, tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match='the folder of PNGs and its JSON together'):
        make_task(saved, out, labels_json=None)
    with pytest.raises(FileNotFoundError, match='images: no such folder: '):
        make_task(saved, out, images=tmp_path / 'none')
    (out / 'predictions').mkdir(parents=True)
    with pytest.raises(ValueError, match='expected a folder of its own'):
        make_task(saved, out, panoptic=out / 'predictions')
    # the refined JSON would have taken this one's place
    shutil.copy(saved / 'pred.json', out / 'predictions.json')
    with pytest.raises(
        ValueError, match=r'expected a folder of its own, got one where .*predictions\.json is an input'
    ):
        make_task(saved, out, json_file=out / 'predictions.json')


def test_categories_may_come_from_the_truth(saved, tmp_path):
    content = json.loads((saved / 'pred.json').read_text())
    bare = tmp_path / 'bare.json'
    bare.write_text(json.dumps({'annotations': content['annotations'][:2]}))
    report = refine_saved_panoptic(make_task(saved, tmp_path / 'out', json_file=bare))
    assert '1 images of the truth have no prediction' in report['table']
    assert read_panoptic_json(tmp_path / 'out/predictions.json').categories == CATEGORIES
    with pytest.raises(ValueError, match='expected categories'):
        make_task(saved, tmp_path / 'out', json_file=bare, labels=None, labels_json=None)


def test_a_truth_of_other_category_ids_is_refused(saved, tmp_path):
    content = json.loads((saved / 'true.json').read_text())
    content['categories'] = [
        {**c, 'id': CATEGORIES[1 - i]['id'] if i < 2 else c['id']} for i, c in enumerate(CATEGORIES)
    ]
    (tmp_path / 'swapped.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match="got 'sky-other-merged' with id 40, which is 'ball' there"):
        make_task(saved, tmp_path / 'out', labels_json=tmp_path / 'swapped.json')


def test_figures_are_of_the_truth_that_is_there(saved, tmp_path):
    """A truth that was mended since, PNG or JSON, is measured against again; another file is another run."""
    folder, out = tmp_path / 'set', tmp_path / 'out'
    shutil.copytree(saved, folder)
    first = refine_saved_panoptic(make_task(folder, out))
    shutil.copy(folder / 'pred/0.png', folder / 'true/0.png')
    second = refine_saved_panoptic(make_task(folder, out))
    found = [[image['quality']['counts']['coarse'] for image in report['images']] for report in (first, second)]
    assert found[0][1:] == found[1][1:]
    assert found[0][0] != found[1][0]
    shutil.copy(folder / 'true.json', folder / 'other.json')
    with pytest.raises(FileExistsError, match=r'other settings \(labels_json\)'):
        refine_saved_panoptic(make_task(folder, out, labels_json=folder / 'other.json'))
