import numpy as np
import pytest
import torch

from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.hosts.folder.conftest import CLASSES, SIZE, random_prediction

PREDICTION = random_prediction()
PROBS = PREDICTION.probs.numpy()


def read(path, name: str = 'npz', classes: ClassList = CLASSES, **options) -> np.ndarray:
    probs = build_format(name, classes, **options).read(path).planes(range(len(classes)))
    assert probs.dtype == torch.float32
    return probs.numpy()


@pytest.mark.parametrize(('name', 'tolerance'), [('npz', 5e-4), ('npy', 1e-6)])
def test_round_trip(tmp_path, name, tolerance):
    path = tmp_path / f'a.{name}'
    path.write_bytes(build_format(name, CLASSES).encode(PREDICTION))
    np.testing.assert_allclose(read(path, name), PROBS, atol=tolerance)


def test_npz_holds_the_classes_that_matter(tmp_path):
    classes = ClassList([str(i) for i in range(150)])
    probs = torch.full((150, *SIZE), 1e-5)
    probs[[7, 140]] = PREDICTION.probs[:2] / PREDICTION.probs[:2].sum(dim=0)
    labels = torch.full(SIZE, 7)
    labels[0, 0] = 33
    path = tmp_path / 'a.npz'
    path.write_bytes(build_format('npz', classes).encode(Prediction(probs / probs.sum(dim=0), labels)))
    with np.load(path) as stored:
        assert stored['classes'].tolist() == [7, 33, 140]
        assert stored['probs'].dtype == np.float16
    np.testing.assert_allclose(read(path, classes=classes), probs / probs.sum(dim=0), atol=2e-3)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64, '>f4'])
@pytest.mark.parametrize('save', ['npy', 'npz', 'npz of another name', 'npy of a dictionary'])
def test_dense_floats(tmp_path, dtype, save):
    path, probs = tmp_path / 'a', PROBS.astype(dtype)
    with path.open('wb') as file:
        if save == 'npy':
            np.save(file, probs)
        elif save == 'npy of a dictionary':
            np.save(file, np.array({'probs': probs}, object))
        else:
            np.savez(file, **{'probs' if save == 'npz' else 'scores': probs})
    np.testing.assert_allclose(read(path), PROBS, atol=1e-3 if dtype == np.float16 else 1e-6)


def test_dense_bytes_count_in_255ths(tmp_path):
    stored = np.round(PROBS * 255).astype(np.uint8)
    np.savez(tmp_path / 'a.npz', probs=stored)
    probs = read(tmp_path / 'a.npz')
    np.testing.assert_allclose(probs, stored / stored.sum(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(probs, PROBS, atol=1e-2)


@pytest.mark.parametrize('dtype', [np.uint8, np.float16, np.float32])
def test_sparse(tmp_path, dtype):
    pair = PROBS[[3, 1]] / PROBS[[3, 1]].sum(axis=0)
    stored = np.round(pair * 255).astype(np.uint8) if dtype == np.uint8 else pair.astype(dtype)
    np.savez(tmp_path / 'a.npz', classes=[3, 1], probs=stored)
    probs = read(tmp_path / 'a.npz')
    assert not probs[[0, 2]].any()
    np.testing.assert_allclose(probs[[3, 1]], pair, atol=6e-3)


def test_many_rounded_classes_may_exceed_one(tmp_path):
    classes = ClassList([str(i) for i in range(150)])
    np.savez(tmp_path / 'a.npz', probs=np.full((150, *SIZE), round(255 / 150), np.uint8))
    np.testing.assert_allclose(read(tmp_path / 'a.npz', classes=classes), 1 / 150, rtol=1e-5)


@pytest.mark.parametrize('score_type', ['logits', 'sigmoid', 'sum'])
def test_score_types(tmp_path, score_type):
    scores = np.random.default_rng(0).random((4, *SIZE)).astype(np.float32)
    scores *= {'logits': 20, 'sigmoid': 1, 'sum': 7}[score_type]
    np.save(tmp_path / 'a.npy', scores)
    expected = np.exp(scores) if score_type == 'logits' else scores
    probs = read(tmp_path / 'a.npy', 'npy', score_type=score_type)
    np.testing.assert_allclose(probs, expected / expected.sum(axis=0), rtol=1e-4)
    with pytest.raises(ValueError, match='expected'):
        read(tmp_path / 'a.npy', 'npy')


def changed(place=(0, 0, 0), value=np.nan) -> np.ndarray:
    probs = PROBS.copy()
    probs[place] = value
    return probs


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(probs=changed(value=np.nan)), 'finite'),
        (dict(probs=changed(value=np.inf)), 'finite'),
        (dict(probs=changed(value=-0.5)), r'in \[0, 1\]'),
        (dict(probs=PROBS * 0.5), 'sum to 1 .* got sums from 0.5 to 0.5'),
        (dict(probs=PROBS[:3]), r'expected \(4, h, w\)'),
        (dict(probs=PROBS[0]), 'classes, height, width'),
        (dict(probs=PROBS[:, :0]), 'classes, height, width'),
        (dict(probs=PROBS.astype(np.int32)), 'uint8 or float'),
        (dict(probs=PROBS > 0.5), 'uint8 or float'),
        (dict(probs=PROBS.astype(complex)), 'uint8 or float'),
        (dict(a=PROBS, b=PROBS), "array 'probs'"),
        (dict(probs=PROBS[:2], classes=[0, 4]), 'different classes 0 to 3'),
        (dict(probs=PROBS[:2], classes=[-1, 1]), 'different classes 0 to 3'),
        (dict(probs=PROBS[:2], classes=[1, 1]), 'different classes 0 to 3'),
        (dict(probs=PROBS[:2], classes=[0, 1, 2]), 'integer classes'),
        (dict(probs=PROBS[:2], classes=[0.0, 1.0]), 'integer classes'),
        (dict(probs=PROBS[:2] * 0.1, classes=[0, 1]), 'sum to 1'),
        (dict(probs=PROBS * 1.2, classes=[0, 1, 2, 3]), 'sum to 1'),
        (dict(probs=changed(value=np.nan), classes=[0, 1, 2, 3]), 'finite'),
    ],
)
def test_bad_content(tmp_path, content, message):
    np.savez(tmp_path / 'a.npz', **content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / 'a.npz')


@pytest.mark.parametrize('content', [dict(probs=PROBS[:2], classes=[0, 1]), dict(probs=np.ones((4, 2, 2), np.uint8))])
def test_logits_have_all_their_digits_and_classes(tmp_path, content):
    np.savez(tmp_path / 'a.npz', **content)
    with pytest.raises(ValueError, match='logits'):
        read(tmp_path / 'a.npz', score_type='logits')
