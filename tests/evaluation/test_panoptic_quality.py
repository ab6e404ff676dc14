"""PQ, SQ and RQ against panopticapi's own code."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.panoptic_quality import mean_pq, panoptic_counts, panoptic_quality

CLASSES = 5


def random_case(rng):
    """A prediction and a truth of 24 x 30 pixels: crowds, void, a true segment without pixels, ids that both have."""
    ids = rng.permutation(np.arange(1, 60))[:6].tolist()
    coarse = rng.integers(0, 6, (4, 5)).repeat(6, 0).repeat(6, 1)
    true = rng.integers(0, 6, (4, 5)).repeat(6, 0).repeat(6, 1)
    pred = np.where(rng.random(true.shape) < 0.25, coarse, np.roll(true, rng.integers(0, 3), 1))
    truth = [dict(id=i, category_id=int(rng.integers(CLASSES)), iscrowd=int(rng.random() < 0.2)) for i in ids]
    own = [dict(id=s['id'], category_id=s['category_id'] if rng.random() < 0.8 else int(rng.integers(CLASSES)))
           for s in truth]  # fmt: skip
    table = np.array([0, *ids])
    # place 0 is void, and the last id has no true pixel
    true, pred = np.where(true == 5, 0, true), np.where(pred > len(ids), 0, pred)
    true_map, pred_map = table[true], table[pred]
    for s in truth:
        s['area'] = int((true_map == s['id']).sum()) + 3 * (rng.random() < 0.1)
    truth[-1]['area'] = 7
    return pred_map, [s for s in own if (pred_map == s['id']).any()], true_map, truth


def write(folder, name, id_map):
    folder.mkdir(exist_ok=True)
    channels = np.stack([id_map % 256, id_map // 256 % 256, id_map // 65536], -1).astype(np.uint8)
    Image.fromarray(channels).save(folder / f'{name}.png')


def test_is_panopticapis_over_50_cases(tmp_path):
    evaluation = pytest.importorskip('panopticapi.evaluation', reason='panopticapi is not installed')
    categories = {c: dict(id=c, isthing=c % 2) for c in range(CLASSES)}
    rng = np.random.default_rng(0)
    pairs, counts = [], []
    for i in range(50):
        pred_map, own, true_map, truth = random_case(rng)
        write(tmp_path / 'pred', i, pred_map)
        write(tmp_path / 'true', i, true_map)
        counts.append(panoptic_counts(torch.from_numpy(pred_map), own, torch.from_numpy(true_map), truth, CLASSES))
        names = dict(file_name=f'{i}.png', image_id=i)
        pairs.append(({**names, 'segments_info': truth}, {**names, 'segments_info': [dict(s) for s in own]}))
        oracle = evaluation.pq_compute_single_core(0, pairs[-1:], tmp_path / 'true', tmp_path / 'pred', categories)
        for c, stat in oracle.pq_per_cat.items():
            assert counts[-1][:, c].tolist() == pytest.approx([stat.iou, stat.tp, stat.fp, stat.fn], abs=1e-9)
    oracle = evaluation.pq_compute_single_core(0, pairs, tmp_path / 'true', tmp_path / 'pred', categories)
    total = torch.stack(counts).sum(dim=0)
    assert (total > 0).all(), 'the cases do not try every count of every class'
    for isthing, classes in ((None, [0, 1, 2, 3, 4]), (True, [1, 3]), (False, [0, 2, 4])):
        expected, _ = oracle.pq_average(categories, isthing)
        found = panoptic_quality(total[:, classes])
        for figure in ('pq', 'sq', 'rq'):
            assert float(found[figure.upper()].nanmean()) == pytest.approx(expected[figure], abs=1e-6)


def test_known_values():
    truth = torch.tensor([[1, 1, 1, 1, 2, 2, 0, 0]])
    pred = torch.tensor([[7, 7, 7, 0, 9, 9, 9, 9]])
    segments = [dict(id=7, category_id=0), dict(id=9, category_id=1)]
    true = [dict(id=1, category_id=0), dict(id=2, category_id=1)]
    counts = panoptic_counts(pred, segments, truth, true, 3)
    # void under the second does not count against it
    assert counts.tolist() == [[0.75, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert float(mean_pq(counts)) == pytest.approx(0.875)
    assert panoptic_quality(counts)['PQ'][2].isnan()
    swapped = panoptic_counts(pred, [{**s, 'category_id': 1 - s['category_id']} for s in segments], truth, true, 3)
    assert panoptic_quality(swapped)['SQ'].tolist()[:2] == [0.0, 0.0]


def test_a_predicted_segment_without_a_pixel_is_refused():
    ids = torch.ones(2, 2, dtype=torch.long)
    info = [dict(id=1, category_id=0), dict(id=4, category_id=0)]
    with pytest.raises(ValueError, match=r'a pixel each, got none of \[4\]'):
        panoptic_counts(ids, info, ids, info[:1], 1)
    with pytest.raises(ValueError, match=r'\(2, 3\) as the truth has'):
        panoptic_counts(ids, info[:1], ids.new_ones(2, 3), info[:1], 1)


def test_nothing_predicted_is_all_missed():
    truth = torch.tensor([[1, 2]])
    true = [dict(id=1, category_id=0), dict(id=2, category_id=0)]
    assert panoptic_counts(truth * 0, [], truth, true, 1).tolist() == [[0], [0], [0], [2]]
