import io

import numpy as np
import pytest
import torch
from scipy.io import savemat

from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.io.formats import SEEDS, build_format
from mmseg_g4seg.io.safe_arrays import read_arrays
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.hosts.folder.conftest import CLASSES, SIZE, random_prediction

KEYS = [2, 0]
"""Of the files: without the background, so that they are classes 3 and 1."""
MAPS = np.random.default_rng(0).random((2, *SIZE)).astype(np.float32)
PROBS = random_prediction(1).probs * torch.tensor([6.0, 1, 1, 1])[:, None, None]
PREDICTION = Prediction(PROBS / PROBS.sum(dim=0), PROBS.argmax(dim=0))
"""A fair share of it is background."""
RULES = [BackgroundRule(), BackgroundRule('power', 4.0), BackgroundRule('power', 0.5), BackgroundRule('threshold', 0.3)]


def npy(content) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, content)
    return buffer.getvalue()


def mat(content: dict) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content)
    return buffer.getvalue()


# as the methods' own code writes them
FILES = {
    'irn': npy({'keys': torch.tensor(KEYS), 'cam': torch.rand(2, 3, 4), 'high_res': MAPS}),
    'clip-es': npy({'keys': np.array(KEYS), 'attn_highres': MAPS.astype(np.float16)}),
    'seam': npy(dict(zip(KEYS, MAPS, strict=True))),
    'diffsegmenter': mat({str(key): values * 255 for key, values in zip(KEYS, MAPS, strict=True)}),
}
VARIANTS = {
    'irn': [
        npy({'keys': np.array(KEYS), 'cam': None, 'high_res': torch.from_numpy(MAPS)}),
        npy({'keys': torch.tensor(KEYS, dtype=torch.int32), 'high_res': list(MAPS)}),
        npy({'keys': np.array(KEYS, np.float64), 'high_res': torch.from_numpy(MAPS).double().requires_grad_()}),
    ],
    'clip-es': [npy({'keys': torch.tensor(KEYS), 'attn_highres': torch.from_numpy(MAPS).half()})],
    'seam': [
        npy({np.int64(key): torch.from_numpy(values) for key, values in zip(KEYS, MAPS, strict=True)}),
        npy({str(key): values for key, values in zip(KEYS, MAPS, strict=True)}),
    ],
}


def probs_of(name: str, content: bytes, tmp_path, rule: BackgroundRule | None = None) -> np.ndarray:
    mask_format = build_format(name, CLASSES, rule=rule)
    path = tmp_path / f'a{mask_format.suffix}'
    path.write_bytes(content)
    mask = mask_format.read(path)
    assert mask.label_map is None
    assert mask.probs is not None
    assert mask.probs.dtype == torch.float32
    return mask.planes(range(len(CLASSES))).numpy()


def by_hand(rule: BackgroundRule) -> np.ndarray:
    """The rule in NumPy, class by class."""
    scores = np.zeros((len(CLASSES), *SIZE))
    scores[[3, 1]] = MAPS
    best = MAPS.max(axis=0).astype(np.float64)
    scores[0] = (1 - best) ** rule.value if rule.name == 'power' else rule.value
    return scores / scores.sum(axis=0)


@pytest.mark.parametrize('rule', RULES, ids=str)
@pytest.mark.parametrize('name', FILES)
def test_reads_by_the_rule(tmp_path, name, rule):
    probs, expected = probs_of(name, FILES[name], tmp_path, rule), by_hand(rule)
    tolerance = 2e-3 if name == 'clip-es' else 1e-5
    np.testing.assert_allclose(probs, expected, atol=tolerance * max(1, 1 / rule.value))
    # the decision: the best class, where it beats the background
    best, background = MAPS.max(axis=0), expected[0] / (expected[3] + expected[1]) * MAPS.sum(axis=0)
    decided = np.where(best > background, np.where(MAPS[0] > MAPS[1], 3, 1), 0)
    sure = (abs(best - background) > 2e-3) & (abs(MAPS[0] - MAPS[1]) > 2e-3)
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(probs.argmax(axis=0)[sure], decided[sure])


@pytest.mark.parametrize(('name', 'content'), [(name, c) for name, cs in VARIANTS.items() for c in cs])
def test_reads_arrays_tensors_and_numbers_of_any_kind(tmp_path, name, content):
    np.testing.assert_allclose(probs_of(name, content, tmp_path), by_hand(RULES[0]), atol=2e-3)


def test_seam_after_crf_holds_probabilities_with_the_background_at_0(tmp_path):
    probs = random_prediction().probs.numpy()
    pair = {0: probs[0], 2: probs[2]}
    read = probs_of('seam-crf', npy(pair), tmp_path)
    np.testing.assert_allclose(read[[0, 2]], probs[[0, 2]] / probs[[0, 2]].sum(axis=0), rtol=1e-5)
    assert not read[[1, 3]].any()


@pytest.mark.parametrize('rule', [rule for rule in RULES if rule.name == 'power'], ids=str)
@pytest.mark.parametrize('name', SEEDS)
def test_round_trip_by_power(tmp_path, name, rule):
    probs = probs_of(name, build_format(name, CLASSES, rule=rule).encode(PREDICTION), tmp_path, rule)
    np.testing.assert_allclose(probs, PREDICTION.probs, atol=5e-3 if name == 'clip-es' else 1e-5)


@pytest.mark.parametrize('share', [0.1, 0.3, 0.9])
@pytest.mark.parametrize('name', SEEDS)
def test_round_trip_by_threshold(tmp_path, name, share):
    """A score of 1 stands 1 / share above the background: no file holds more; the decision stays."""
    rule, before = BackgroundRule('threshold', share), PREDICTION.probs.numpy()
    probs = probs_of(name, build_format(name, CLASSES, rule=rule).encode(PREDICTION), tmp_path, rule)
    held = before[1:].max(axis=0) <= before[0] / share * (1 - 1e-3)
    assert held.mean() > 0.3
    np.testing.assert_allclose(probs[:, held], before[:, held], atol=1e-3)
    top = np.sort(before, axis=0)
    sure = top[-1] - top[-2] > 1e-3
    np.testing.assert_array_equal(probs.argmax(axis=0)[sure], before.argmax(axis=0)[sure])


@pytest.mark.parametrize('name', SEEDS)
def test_background_alone(tmp_path, name):
    probs = torch.zeros(len(CLASSES), *SIZE)
    probs[0], probs[2] = 0.9996, 0.0004
    prediction = Prediction(probs, torch.zeros(SIZE, dtype=torch.long))
    read = probs_of(name, build_format(name, CLASSES).encode(prediction), tmp_path)
    np.testing.assert_allclose(read, probs, atol=1e-3)


@pytest.mark.parametrize(('name', 'maps'), [('irn', 'high_res'), ('clip-es', 'attn_highres')])
@pytest.mark.parametrize('array', [np.zeros, torch.zeros])
def test_an_image_without_a_class_is_background(tmp_path, name, maps, array):
    expected = np.zeros((len(CLASSES), *SIZE))
    expected[0] = 1
    content = npy({'keys': array(0), maps: array((0, *SIZE))})
    np.testing.assert_array_equal(probs_of(name, content, tmp_path), expected)


def test_what_the_methods_own_code_finds_in_our_files(tmp_path):
    written = {}
    for name in ('irn', 'clip-es', 'seam', 'seam-crf'):
        (tmp_path / 'a.npy').write_bytes(build_format(name, CLASSES).encode(PREDICTION))
        written[name] = np.load(tmp_path / 'a.npy', allow_pickle=True).item()
    assert sorted(written['irn']) == ['cam', 'high_res', 'keys']
    assert written['irn']['keys'].tolist() == [0, 1, 2]
    assert written['irn']['cam'].shape == (3, SIZE[0] // 4, SIZE[1] // 4)
    assert written['irn']['high_res'].shape == (3, *SIZE)
    assert written['clip-es']['attn_highres'].dtype == np.float16
    assert sorted(written['seam']) == [0, 1, 2]
    assert sorted(written['seam-crf']) == [0, 1, 2, 3]
    np.testing.assert_array_equal(written['seam'][1], written['irn']['high_res'][1])


def values(value: float) -> np.ndarray:
    changed = MAPS.copy()
    changed[1, 3, 4] = value
    return changed


@pytest.mark.parametrize(
    ('keys', 'maps', 'message'),
    [
        ([0, 3], MAPS, 'keys from 0 to 2'),
        ([-1, 0], MAPS, 'keys from 0 to 2'),
        ([1, 1], MAPS, 'different keys'),
        ([0.5, 1], MAPS, 'keys from 0 to 2'),
        (['cat', 'dog'], MAPS, 'class numbers'),
        ([], MAPS, 'at least one'),
        ([], MAPS[:0, :0], 'got none of'),
        ([0, 1], MAPS[:1], '2 maps'),
        ([0], MAPS, '1 maps'),
        ([0, 1], MAPS[:, :0], 'height, width'),
        ([0, 1], values(np.nan), 'finite'),
        ([0, 1], values(-np.inf), 'finite'),
        ([0, 1], values(-0.1), r'in \[0, 1\]'),
        ([0, 1], MAPS * 255, r'in \[0, 1\]'),
        ([0, 1], MAPS.astype(complex), 'of numbers'),
        ([0, 1], MAPS.astype(str), 'of numbers'),
        ([0, 1], MAPS[0], 'keys, height, width'),
    ],
)
def test_bad_content(tmp_path, keys, maps, message):
    with pytest.raises(ValueError, match=message):
        probs_of('irn', npy({'keys': np.array(keys), 'high_res': maps}), tmp_path)
    if len(keys) == len(maps) == 2 and len(set(keys)) == 2 and maps.dtype.kind == 'f':
        with pytest.raises(ValueError, match=message):
            probs_of('seam', npy(dict(zip(keys, maps, strict=True))), tmp_path)
        with pytest.raises(ValueError, match=message):
            probs_of('diffsegmenter', mat({str(k): m * 255 for k, m in zip(keys, maps, strict=True)}), tmp_path)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('irn', npy(MAPS), 'dictionary'),
        ('irn', FILES['clip-es'], "'high_res'"),
        ('clip-es', FILES['irn'], "'attn_highres'"),
        ('seam', FILES['irn'], 'class numbers'),
        ('seam', npy({}), 'at least one'),
        ('seam', npy({0: MAPS[0], 1: MAPS[1, :5]}), 'one size'),
        ('seam-crf', npy({0: MAPS[0], 4: MAPS[1]}), 'keys from 0 to 3'),
        ('seam-crf', npy({1: MAPS[0] * 0}), 'positive score'),
        ('diffsegmenter', FILES['seam'], 'MATLAB|mat'),
        ('diffsegmenter', mat({}), 'at least one'),
    ],
)
def test_another_files_content(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        probs_of(name, content, tmp_path)


@pytest.mark.parametrize(('name', 'value'), [('power', 0), ('power', np.nan), ('threshold', 1), ('other', 1)])
def test_bad_rules(name, value):
    with pytest.raises(ValueError, match='background rule'):
        BackgroundRule(name, value)


@pytest.mark.parametrize('background', [None, 1])
def test_the_background_is_class_0(background):
    with pytest.raises(ValueError, match='class 0'):
        build_format('seam', ClassList(CLASSES.names, background=background))


def test_files_read_without_running_anything(tmp_path):
    for name in ('irn', 'clip-es', 'seam'):
        (tmp_path / 'a.npy').write_bytes(FILES[name])
        assert isinstance(read_arrays(tmp_path / 'a.npy'), dict)
