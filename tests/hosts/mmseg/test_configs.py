"""Every config of the repository, through tools/test.py on one image of a synthetic tree.

The prior is the embedded one by --cfg-options. Coarse models have random weights and, where the
real ones are large, fewer and narrower layers; so that their masks are worth refining, their scores get evidence
of the classes whose colours the image shows. What is checked is that everything fits together and
that the table's figures are those of the label maps that were written.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from PIL import Image

import mmseg_g4seg.hosts.mmseg.mmdetection as mmdetection
from mmseg_g4seg.cli.test import main
from mmseg_g4seg.hosts.mmseg.images import recover_image
from mmseg_g4seg.ops.palettes import voc_palette
from tests.conftest import ROOT
from tests.hosts.mmseg.synthetic_trees import LAYOUTS, pairs, write_tree

CONFIGS = sorted(p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name != '_base_')
OWN_RUNS = ('saved_scores', 'seediff', 'sclip', 'maskclip', 'groupvit', 'clip_es', 'cam')
"""Folders whose configs need no synthetic tree: saved scores and zero-shot masks have tests of their own."""
FOREIGN = [p for p in CONFIGS if p.parent.name not in OWN_RUNS]
SMALLER = {
    'segformer_mit-b5': {'backbone.num_layers': [1, 1, 1, 1]},
    'deeplabv3plus_r101': {'backbone.depth': 50, 'decode_head.channels': 32, 'auxiliary_head.channels': 16},
}
EVIDENCE = 3.0
"""Of the class that the image's colour names, beside a random model's own scores in [-1, 1]."""
MISLED = 5
"""Colours of every how many blocks are taken for another class, so that there is something to refine."""


def _marks(path: Path) -> list:
    """CascadePSP's network is as large as it is: one of its configs stands for all where time is short."""
    return [pytest.mark.slow] if 'cascadepsp' in path.stem and 'ade20k' not in path.stem else []


def has_mask2former() -> bool:
    try:
        mmdetection.register_mmdetection({'type': 'Mask2FormerHead'})
    except ImportError:
        return False
    return True


def tree_name(config: Config) -> str:
    dataset = config.test_dataloader.dataset
    if dataset.type == 'NightCityDataset':
        return {'labelIds': 'nightcity', 'trainIds': 'nightcity_fine'}[dataset.label_ids]
    return {'ADE20KDataset': 'ade20k'}[dataset.type]


def coarse_options(path: Path, config: Config) -> dict:
    """Settings of the coarse model, at the place where the config has it."""
    prefix = 'model.segmentor.' if config.model.type == 'RefinedSegmentor' else 'model.'
    smaller = next((options for stem, options in SMALLER.items() if path.stem.startswith(stem)), {})
    return {prefix + name: value for name, value in smaller.items()}


def refiner_options(config: Config, cascade_psp: Path) -> dict:
    """The embedded prior in place of Stable Diffusion, random weights in place of CascadePSP's."""
    refiner = config.model.get('refiner')
    if refiner is None:
        return {}
    chain = refiner.get('refiners')
    first = 'model.refiner.refiners.0.' if chain else 'model.refiner.'
    settings = {'prior': 'tiny', 'image_size': 64, 'update.features': None, 'update.confidence_range': (0.0, 1.0)}
    options = {first + name: value for name, value in settings.items()}
    if chain and chain[1].type == 'CascadePSPRefiner':
        quick = dict(weights=str(cascade_psp), max_side=72, fast=True, min_area=0.2)
        options |= {f'model.refiner.refiners.1.{name}': value for name, value in quick.items()}
    return options


@pytest.fixture(scope='module')
def cascade_psp(tmp_path_factory) -> Path:
    upstream = pytest.importorskip('segmentation_refinement.main')
    path = tmp_path_factory.mktemp('cascade_psp') / 'model'
    torch.save({f'module.{k}': v for k, v in upstream.RefinementModule().state_dict().items()}, path)
    return path


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Checkpoints of the coarse models with random weights, each made once: config and name -> path."""
    folder, made = tmp_path_factory.mktemp('checkpoints'), {}

    def get(segmentor: Config, name: str) -> str | None:
        if segmentor.type == 'SavedScoresSegmentor':
            return None
        if name not in made:
            torch.manual_seed(3)
            mmdetection.register_mmdetection(segmentor)
            model = MODELS.build(segmentor)
            made[name] = str(folder / f'{name}.pth')
            torch.save({'state_dict': model.state_dict(), 'meta': {}}, made[name])
        return made[name]

    return get


@pytest.fixture
def run_test_script(monkeypatch, tmp_path):
    """The command of tools/test.py, in this process."""

    def call(*arguments: object, options: dict | None = None) -> None:
        given = [f'{key}={value}'.replace(' ', '') for key, value in options.items()]
        monkeypatch.setenv('LOCAL_RANK', '0')
        assert main([*map(str, arguments), '--work-dir', str(tmp_path / 'work'), '--cfg-options', *given]) == 0

    return call


def shown_classes(name: str, pixels: np.ndarray) -> np.ndarray:
    """Classes by colour, every few blocks mistaken: (H, W, 3) uint8 RGB of a tree's image -> (H, W), 255 where none."""
    ids = np.array([*LAYOUTS[name].ids, *LAYOUTS[name].ignored])
    distances = np.abs(pixels[..., None, :].astype(int) - voc_palette()[ids].astype(int)).sum(axis=-1)
    classes = truth_of(name, ids)[distances.argmin(axis=-1)]
    rows, columns = np.indices(classes.shape) // 8
    mistaken = (rows * 3 + columns) % MISLED == 0
    return np.where(mistaken & (classes != 255), classes[0, -1], classes)


def with_evidence(scores: torch.Tensor, name: str, image: torch.Tensor) -> torch.Tensor:
    """A random model's scores (C, h, w), to which are added the classes that an image (3, h, w) in [0, 1] shows."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    classes = torch.from_numpy(shown_classes(name, pixels).astype(np.int64))
    evidence = F.one_hot(classes.where(classes < len(scores), 0), len(scores)) * (classes < len(scores))[..., None]
    # blurred, so that there is doubt where classes meet
    blurred = F.avg_pool2d(evidence.permute(2, 0, 1).float(), 9, stride=1, padding=4)
    return scores / scores.abs().amax().clamp_min(1e-6) + EVIDENCE * blurred


@pytest.fixture
def sees_colours(monkeypatch):
    """Lets coarse models of mmseg see the classes of a tree's images; call it with the tree's name."""
    own = EncoderDecoder.encode_decode

    def call(name: str) -> None:
        def encode_decode(self, inputs, batch_img_metas):
            scores = own(self, inputs, batch_img_metas)
            metainfo = {'ori_shape': inputs.shape[-2:]}
            images = [recover_image(x, metainfo, self.data_preprocessor) for x in inputs]
            return torch.stack([with_evidence(s, name, x) for s, x in zip(scores, images, strict=True)])

        monkeypatch.setattr(EncoderDecoder, 'encode_decode', encode_decode)

    return call


def write_scores(folder: Path, root: Path, name: str) -> None:
    folder.mkdir()
    for image, _ in pairs(name, root):
        pixels = torch.from_numpy(np.array(Image.open(image).convert('RGB')))[::4, ::4].permute(2, 0, 1) / 255
        np.savez(folder / f'{image.stem}.npz', probs=with_evidence(torch.zeros(19, 16, 24), name, pixels).softmax(0))


def run_config(path: Path, tmp_path: Path, checkpoints, cascade_psp, run_test_script) -> tuple[dict, Path]:
    """Runs a config on two images; returns the report and the root of its tree."""
    config = Config.fromfile(path)
    name, root = tree_name(config), tmp_path / 'data'
    write_tree(name, root, images=2)
    options = {
        'test_dataloader.dataset.data_root': str(root),
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'log_level': 'WARNING',
        **coarse_options(path, config),
        **refiner_options(config, cascade_psp),
    }
    config.merge_from_dict(coarse_options(path, config))
    segmentor = config.model.segmentor if config.model.type == 'RefinedSegmentor' else config.model
    if segmentor.type == 'SavedScoresSegmentor':
        write_scores(tmp_path / 'scores', root, name)
        place = 'model.segmentor.' if config.model.type == 'RefinedSegmentor' else 'model.'
        options[f'{place}scores_dir'] = str(tmp_path / 'scores')
    else:
        options['test_dataloader.dataset.pipeline.1.scale'] = (96, 64)
    stem = path.stem.split('_cityscapes')[0].split('_g4seg')[0]
    checkpoint = checkpoints(segmentor, stem)
    given = [path] if checkpoint is None else [path, checkpoint]
    run_test_script(*given, '--out', tmp_path / 'out', options=options)
    return json.loads((tmp_path / 'work/metrics.json').read_text()), root


def miou_by_hand(label_maps: list[np.ndarray], truths: list[np.ndarray], classes: int) -> float:
    """Mean over the classes that occur of intersection over union, in per cent."""
    ious = []
    for c in range(classes):
        counted = [(m[t != 255], t[t != 255]) for m, t in zip(label_maps, truths, strict=True)]
        intersection = sum(((m == c) & (t == c)).sum() for m, t in counted)
        union = sum(((m == c) | (t == c)).sum() for m, t in counted)
        if union:
            ious.append(100 * intersection / union)
    return float(np.mean(ious))


def truth_of(name: str, raw: np.ndarray) -> np.ndarray:
    """Class ids of a raw label map, by the data set's own definition."""
    if name == 'ade20k':
        return np.where(raw == 0, 255, raw.astype(int) - 1)
    if name == 'nightcity':
        ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
        return np.array([ids.index(i) if i in ids else 255 for i in range(256)])[raw]
    return raw


@pytest.mark.parametrize('path', [pytest.param(p, marks=_marks(p)) for p in FOREIGN], ids=lambda p: p.stem)
def test_runs_end_to_end(path, tmp_path, checkpoints, cascade_psp, run_test_script, sees_colours):
    """And the figures of coarse and refined masks are those of the label maps that --out wrote."""
    if path.parent.name == 'mask2former' and not has_mask2former():
        pytest.skip("needs MMDetection and mmcv's compiled operators")
    config = Config.fromfile(path)
    name = tree_name(config)
    sees_colours(name)
    report, root = run_config(path, tmp_path, checkpoints, cascade_psp, run_test_script)
    shift, classes = (1, 150) if name == 'ade20k' else (0, 19)
    written = sorted((tmp_path / 'out').glob('*.png'))
    assert len(written) == 2
    truths = {image.stem: truth_of(name, np.array(Image.open(labels))) for image, labels in pairs(name, root)}
    for stage, folder in (('refined', 'out'), ('coarse', 'out/coarse')):
        if config.model.type != 'RefinedSegmentor' and stage == 'coarse':
            continue
        maps = [np.array(Image.open(tmp_path / folder / p.name)).astype(int) - shift for p in written]
        expected = miou_by_hand(maps, [truths[p.stem] for p in written], classes)
        assert report[stage]['mIoU'] == pytest.approx(expected, abs=0.006)
        assert 10 < expected < 100, 'a figure that says something'
    if config.model.type == 'RefinedSegmentor':
        assert report['refined']['mIoU'] != report['coarse']['mIoU'], 'the refiner changed nothing'


@pytest.mark.skipif(has_mask2former(), reason='Mask2Former is installed')
def test_mask2former_without_operators_says_what_to_install(tmp_path, run_test_script):
    path = ROOT / 'configs/mask2former/mask2former_r50_ade20k_g4seg.py'
    with pytest.raises(ImportError, match=r'Mask2FormerHead needs .*pip install'):
        run_test_script(path, 'none.pth', options={'log_level': 'WARNING'})


@pytest.mark.parametrize('path', [p for p in FOREIGN if '_g4seg' not in p.stem], ids=lambda p: p.stem)
def test_the_coarse_model_builds_at_full_size(path, tmp_path):
    config = Config.fromfile(path)
    if path.parent.name == 'mask2former' and not has_mask2former():
        pytest.skip("needs MMDetection and mmcv's compiled operators")
    if config.model.type == 'SavedScoresSegmentor':
        config.model.scores_dir = str(tmp_path)
    mmdetection.register_mmdetection(config.model)
    model = MODELS.build(config.model)
    assert model.out_channels == {'ADE20KDataset': 150}.get(config.test_dataloader.dataset.type, 19)


class TestIndex:
    """`model-index.yml` and the metafiles and READMEs that it leads to."""

    MODELS = sorted({p.parent for p in CONFIGS if p.parent.name != 'saved_scores'})

    def test_lists_every_folder_of_models(self):
        index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
        assert index['Import'] == [f'configs/{folder.name}/metafile.yml' for folder in self.MODELS]

    @pytest.mark.parametrize('folder', MODELS, ids=lambda p: p.name)
    def test_metafile_and_readme_name_every_config(self, folder):
        metafile = yaml.safe_load((folder / 'metafile.yml').read_text())
        # what runs on the demo's scenes is no model of a data set
        refined = [p for p in CONFIGS if p.parent == folder and '_g4seg' in p.stem and '_scenes_' not in p.stem]
        assert sorted(m['Config'] for m in metafile['Models']) == [str(p.relative_to(ROOT)) for p in refined]
        collections = {c['Name'] for c in metafile['Collections']}
        for model in metafile['Models']:
            assert model['Name'] == Path(model['Config']).stem
            assert model['In Collection'] in collections
        readme = (folder / 'README.md').read_text()
        assert [path.name for path in refined if path.name not in readme] == []
