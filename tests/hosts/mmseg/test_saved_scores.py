import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_g4seg.hosts.mmseg.saved_scores import SavedScoresSegmentor, read_scores
from mmseg_g4seg.ops.scores import scores_to_probs
from tests.hosts.mmseg.conftest import SIZES, plain_config, refined
from tests.io.pictures import save_turned


def probs(height=10, width=14):
    return torch.randn(5, height, width, generator=torch.Generator().manual_seed(1)).mul(2).softmax(0).numpy()


class TestFormats:
    def test_sparse_bytes(self, tmp_path):
        stored = (probs()[[1, 4]] * 255).round().astype(np.uint8)
        np.savez(tmp_path / 'a.npz', classes=np.array([1, 4], np.int16), probs=stored)
        scores = read_scores(tmp_path / 'a.npz', 5)
        assert scores.shape == (5, 10, 14)
        assert torch.equal(scores[[0, 2, 3]], torch.zeros(3, 10, 14))
        assert torch.equal(scores[4], torch.from_numpy(stored[1]).float() / 255)

    @pytest.mark.parametrize('suffix', ['npy', 'npz'])
    def test_dense_floats(self, tmp_path, suffix):
        path = tmp_path / f'a.{suffix}'
        np.save(path, probs()) if suffix == 'npy' else np.savez(path, anything=probs())
        assert np.array_equal(read_scores(path, 5).numpy(), probs())

    def test_labels(self, tmp_path):
        labels = probs().argmax(0).astype(np.uint8)
        labels[0] = 255
        Image.fromarray(labels).save(tmp_path / 'a.png')
        scores = read_scores(tmp_path / 'a.png', 5)
        assert torch.equal(scores.argmax(0)[1:], torch.from_numpy(labels[1:]).long())
        assert scores[:, 0].sum() == 0

    def test_pixels_without_a_label(self, tmp_path):
        """A refiner behind such a mask stopped: `expected sums of 1 over classes, got 0 to 1`."""
        Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8)).save(tmp_path / 'a.png')
        model = SavedScoresSegmentor(str(tmp_path), num_classes=4)
        sample = SegDataSample(metainfo=dict(img_path='a.jpg', ori_shape=(2, 2)))
        (found,) = model.predict(torch.zeros(1, 3, 2, 2), [sample])
        assert found.pred_sem_seg.data.tolist() == [[[0, 1], [2, 0]]]
        assert scores_to_probs(found.seg_logits.data, 'softmax')[:, 1, 1].tolist() == [0.25] * 4
        assert found.seg_logits.data[:, 1, 0].tolist() == [0, 0, 1, 0]

    def test_one_object_in_255(self, tmp_path):
        """It went for unlabelled, and so for background."""
        drawn = np.eye(6, dtype=np.uint8) * 255
        for name in ('0', '1'):
            Image.fromarray(drawn).save(tmp_path / f'{name}.png')
        sample = SegDataSample(metainfo=dict(img_path='images/0.jpg', ori_shape=(6, 6)))
        model = SavedScoresSegmentor(str(tmp_path), num_classes=2)
        (predicted,) = model.predict(torch.zeros(1, 3, 6, 6), [sample])
        assert torch.equal(predicted.pred_sem_seg.data[0], torch.eye(6).long())
        with pytest.raises(ValueError, match='two class names'):
            SavedScoresSegmentor(str(tmp_path), num_classes=3)
        # among label maps with a 1, 255 is what has no label
        Image.fromarray(drawn // 255).save(tmp_path / '1.png')
        (predicted,) = SavedScoresSegmentor(str(tmp_path), num_classes=2).predict(torch.zeros(1, 3, 6, 6), [sample])
        assert not predicted.pred_sem_seg.data.any()

    def test_scores_of_the_stored_frame(self, tmp_path):
        """They were stretched to the upright picture, without a word."""
        np.save(tmp_path / 'a.npy', probs(8, 12))
        model = SavedScoresSegmentor(str(tmp_path), num_classes=5)
        sample = SegDataSample(metainfo=dict(img_path=str(tmp_path / 'a.jpg'), ori_shape=(24, 16)))
        save_turned(tmp_path / 'a.jpg', np.zeros((16, 24, 3), np.uint8), 1)
        model.predict(torch.zeros(1, 3, 24, 16), [sample])  # any grid is fine
        save_turned(tmp_path / 'a.jpg', np.zeros((16, 24, 3), np.uint8), 6)
        with pytest.raises(ValueError, match=r'a\.npy: expected scores .* EXIF orientation 6'):
            model.predict(torch.zeros(1, 3, 24, 16), [sample])

    @pytest.mark.parametrize(
        ('arrays', 'message'),
        [
            ({'probs': np.zeros((4, 3, 3), np.float32)}, r'\(5, h, w\)'),
            ({'classes': np.array([5]), 'probs': np.zeros((1, 3, 3), np.uint8)}, 'classes 0 to 4'),
            ({'classes': np.array([1, 2]), 'probs': np.zeros((1, 3, 3), np.uint8)}, r'classes \(K,\)'),
            ({'a': np.zeros(1), 'b': np.zeros(1)}, "array 'probs'"),
            ({'probs': np.array([{}], dtype=object)}, 'float scores, got object'),
        ],
    )
    def test_bad_files_are_named(self, tmp_path, arrays, message):
        np.savez(tmp_path / 'bad.npz', **arrays)
        with pytest.raises(ValueError, match=rf'bad\.npz.*{message}'):
            read_scores(tmp_path / 'bad.npz', 5)

    def test_labels_out_of_range(self, tmp_path):
        Image.fromarray(np.full((3, 3), 7, np.uint8)).save(tmp_path / 'bad.png')
        with pytest.raises(ValueError, match=r'bad\.png.*labels below 5'):
            read_scores(tmp_path / 'bad.png', 5)

    def test_broken_file(self, tmp_path):
        (tmp_path / 'bad.npz').write_bytes(b'PK nothing')
        with pytest.raises(ValueError, match=r'bad\.npz'):
            read_scores(tmp_path / 'bad.npz', 5)


def saved_config(data_root, tmp_path, refiner, scores_dir):
    config = refined(plain_config(data_root, tmp_path), refiner, score_type='softmax')
    preprocessor = config.model.segmentor.data_preprocessor
    config.model.segmentor = dict(
        type='SavedScoresSegmentor', scores_dir=str(scores_dir), num_classes=5, data_preprocessor=preprocessor
    )
    return config


def test_scores_go_through_mmsegs_loop(data_root, tmp_path, refiner_config):
    """The coarse figures are those of the files, resized bilinearly and renormalised, by hand."""
    folder = tmp_path / 'scores'
    folder.mkdir()
    correct = total = 0
    for i, size in enumerate(SIZES):
        stored = (torch.randn(5, 10, 14, generator=torch.Generator().manual_seed(i)).mul(2).softmax(0) * 255).byte()
        np.savez(folder / f'{i}.npz', classes=np.arange(5), probs=stored.numpy())
        labels = F.interpolate(stored[None].float() / 255, size, mode='bilinear')[0].argmax(0)
        truth = torch.from_numpy(np.array(Image.open(data_root / 'labels' / f'{i}.png')))
        correct += int((labels == truth).sum())
        total += int((truth != 255).sum())
    config = saved_config(data_root, tmp_path, refiner_config, folder)
    metrics = Runner.from_cfg(config).test()
    assert metrics['coarse_aAcc'] == pytest.approx(100 * correct / total, abs=0.006)
    assert metrics['mIoU'] != metrics['coarse_mIoU']


def test_missing_scores_and_folder(data_root, tmp_path):
    with pytest.raises(FileNotFoundError, match='scores_dir'):
        SavedScoresSegmentor(str(tmp_path / 'nowhere'), 5)
    config = saved_config(data_root, tmp_path, None, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no scores for image '0'.*0\.npz"):
        Runner.from_cfg(config).test()


def test_wrong_score_type_is_noticed(data_root, tmp_path, refiner_config):
    folder = tmp_path / 'logits'
    folder.mkdir()
    for i in range(3):
        np.save(folder / f'{i}.npy', np.random.default_rng(i).normal(0, 5, (5, 8, 8)).astype(np.float32))
    config = saved_config(data_root, tmp_path, refiner_config, folder)
    config.model.segmentor.normalise = False
    with pytest.raises(ValueError, match="did you mean 'logits'"):
        Runner.from_cfg(config).test()
