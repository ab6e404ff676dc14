"""Imports go downward only, and nothing heavy is imported before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmseg_g4seg'
LAYERS = {
    0: (
        'areas',
        'binary_masks',
        'boundary',
        'correspondence',
        'guided_filter',
        'masks',
        'memory_budget',
        'noise',
        'paired_statistics',
        'pixel_affinity',
        'probability',
        'scores',
        'typed_config',
    ),
    1: ('prompts', 'attention', 'diffusion', 'features'),
    2: ('refiners', 'files', 'converters', 'seeds', 'scenes', 'training'),
    3: ('api', 'benchmark', 'experiments', 'mmseg', 'detectron2', 'reproduction'),
}
HOSTS = {'mmseg', 'mmengine', 'mmcv', 'detectron2'}
MODELS = {'diffusers', 'transformers', 'open_clip', 'tokenizers'}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules a file imports: (first name, whether it is the package's own)."""
    found = []
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name.split('.')[0], False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(((node.module or '').split('.')[0], False))
        elif isinstance(node, ast.ImportFrom):
            if node.level == depth:  # relative to the package's root
                names = [node.module.split('.')[0]] if node.module else [alias.name for alias in node.names]
                found += [(name, True) for name in names]
            assert node.level <= depth
    return found


FILES = sorted(p for p in PACKAGE.rglob('*.py') if p != PACKAGE / '__init__.py')


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downward(path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    assert place in LAYER_OF, f'{place} has no layer: add it to LAYERS'
    layer = LAYER_OF[place]
    for name, own in imports(path):
        if own:
            assert LAYER_OF[name] <= layer, f'{path.name} (layer {layer}) imports {name} (layer {LAYER_OF[name]})'
        elif name in HOSTS:
            assert layer == 3, f'{path.name} (layer {layer}) imports the host {name}'
        elif name in MODELS:
            assert layer >= 1, f'{path.name} (layer 0) imports {name}'


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'mmseg', 'mmengine', 'mmcv'}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import importlib.util
original = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {'mmseg', 'mmengine'} else original(name, *a)
"""


def test_works_without_a_host_and_imports_no_models():
    code = (
        BLOCK + "import mmseg_g4seg; print([m for m in ('diffusers', 'transformers', 'open_clip') if m in sys.modules])"
    )
    assert run_python(code) == '[]'


def test_refines_tensors_without_a_host():
    code = """
import torch
from mmseg_g4seg import Prediction, build_refiner
refiner = build_refiner(dict(type='G4SegRefiner', prior='tiny', image_size=64, cross_weight=3.0))
image, probs = torch.rand(3, 40, 50), torch.rand(3, 40, 50).softmax(0)
refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), ['sky', 'tree', 'ball'])
print(tuple(refined.label_map.shape), tuple(refined.probs.shape), 'mmseg' in sys.modules)
"""
    assert run_python(BLOCK + code) == '(40, 50) (3, 40, 50) False'


def test_import_registers_with_the_host():
    pytest.importorskip('mmseg')
    code = (
        'import mmseg_g4seg, sys; from mmseg.registry import MODELS, METRICS; '
        "print(all(n in MODELS for n in ('RefinedSegmentor', 'SavedScoresSegmentor', 'RefinedSegTTAModel')), "
        "'RefinementMetric' in METRICS, 'diffusers' in sys.modules, 'open_clip' in sys.modules)"
    )
    assert run_python(code).split('\n')[-1] == 'True True False False'
