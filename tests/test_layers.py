"""Imports go downward only, folder against folder, and nothing heavy is imported before it is needed."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / 'mmseg_g4seg'
STEPS = (
    ('registry', 'prediction', 'after_import'),
    ('ops',),
    ('io',),
    ('diffusion',),
    ('features',),
    ('refiners', 'coarse'),
    ('evaluation',),
    ('hosts',),
    ('cli',),
)
"""From the lowest; those of one step do not import each other."""
ORDER = {name: step for step, names in enumerate(STEPS) for name in names}
ROOMS = {
    'diffusion': (
        ('acceleration', 'batching', 'early_stop', 'finite', 'named', 'prediction', 'text', 'weights'),
        ('injection',),
        ('prior',),
        ('families', 'inversion'),
        ('sampling',),
        ('loading',),
    ),
    'refiners': (
        ('base', 'crf_inference'),
        ('binary', 'dense_crf', 'fill_void', 'g4seg', 'pamr', 'sequential'),
        ('build', 'panoptic'),
    ),
    'hosts/mmseg': (
        (
            'class_names',
            'mmdetection',
            'model_config',
            'private_names',
            'quiet_import',
            'samples',
            'scope',
            'visualizer',
        ),
        ('images', 'metric', 'saved_scores', 'training_state'),
        ('segmentor', 'source_segmentor'),
        ('tta',),
        ('datasets',),
        ('checks', 'converters'),
        ('launch',),
    ),
    # what needs no Gradio is below what does
    'hosts/web': (
        ('drawing', 'inputs', 'offline', 'parameters', 'scenes'),
        ('run',),
        ('downloads', 'summary'),
        ('handlers',),
        ('steps',),
        ('results',),
        ('events',),
        ('page',),
    ),
}
"""The same inside the rooms that have rooms of their own."""
HOSTS = {'mmseg', 'mmengine', 'mmcv', 'detectron2', 'ray', 'gradio', 'starlette'}
MODELS = {'diffusers', 'transformers', 'open_clip', 'tokenizers'}
PROJECTS = sorted(p.name for p in (ROOT / 'projects').iterdir() if (p / '__init__.py').is_file())


@cache
def imports(path: Path) -> list[str]:
    """Full names of the modules that a file imports, those inside functions too."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(parts[: len(parts) - node.level]) if node.level else ''
            module = '.'.join(part for part in (base, node.module or '') if part)
            found += [f'{module}.{alias.name}' for alias in node.names]
    return found


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob('*.py') if 'tests' not in p.parts and 'configs' not in p.parts)


FILES = [p for p in files(PACKAGE) if p != PACKAGE / '__init__.py']
FOLDERS = sorted({p.parent for p in files(PACKAGE)})


@cache
def file_of(name: str) -> Path | None:
    """The package's file behind the full name of a module, or of something in it."""
    parts = name.split('.')
    for path in (ROOT.joinpath(*parts[:n]) for n in range(len(parts), 0, -1)):
        if path.with_suffix('.py').is_file():
            return path.with_suffix('.py')
        if (path / '__init__.py').is_file():
            return path / '__init__.py'
    return None


def inside(folder: Path, path: Path) -> str:
    """The file, less its suffix, or the folder that a path has right below a folder."""
    return path.relative_to(folder).parts[0].removesuffix('.py')


@cache
def edges() -> dict[Path, set[Path]]:
    """Which files of the package a file imports; not asked while tests are collected, which each process does."""
    return {
        path: {file for name in imports(path) if name.startswith('mmseg_g4seg') and (file := file_of(name))}
        for path in FILES
    }


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downward(path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    assert place in ORDER, f'{place} has no step: add it to STEPS'
    for name in imports(path):
        first, *rest = name.split('.')
        assert first != 'projects', f'{path.name} imports {name}: the package never imports a project'
        if first == 'mmseg_g4seg' and rest != ['__version__']:
            other = rest[0] if rest else ''
            if other == '__version__':
                continue
            assert other in ORDER, f'{path.name} imports {name}: expected a module, not the package itself'
            same = other == place
            assert same or ORDER[other] < ORDER[place], f'{path.name} ({place}) imports {name}, which is not below it'
        elif first in HOSTS:
            assert place in ('hosts', 'cli'), f'{path.name} ({place}) imports the host {name}'
        elif first in MODELS:
            assert ORDER[place] >= ORDER['diffusion'], f'{path.name} ({place}) imports {name}'


@pytest.mark.parametrize('room', ROOMS)
def test_imports_go_downward_inside_a_room(room):
    steps, folder = ROOMS[room], PACKAGE / room
    order = {name: step for step, names in enumerate(steps) for name in names}
    for path, others in edges().items():
        if folder not in path.parents or path == folder / '__init__.py':
            continue
        place = inside(folder, path)
        assert place in order, f'{room}/{place} has no step: add it to ROOMS'
        for other in others:
            # its __init__ stands above all of it: who is inside and imports it waits for himself
            assert other != folder / '__init__.py', f'{path.relative_to(PACKAGE)} imports its own room'
            if folder in other.parents and (below := inside(folder, other)) != place:
                assert order[below] < order[place], f'{path.relative_to(PACKAGE)} imports {below}, not below {place}'


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_circle_in_a_folder(folder):
    """Its files and folders stand in some order; imports for type checkers count, since readers follow them, too."""
    graph: dict[str, set[str]] = {}
    for path, others in edges().items():
        if folder in path.parents and path != folder / '__init__.py':
            own = [other for other in others if folder in other.parents and other != folder / '__init__.py']
            graph.setdefault(inside(folder, path), set()).update(inside(folder, other) for other in own)
    for place, below in graph.items():
        below.discard(place)
    while leaves := [place for place, below in graph.items() if not below & graph.keys()]:
        for place in leaves:
            del graph[place]
    assert graph == {}, 'these import each other in a circle'


def test_a_circle_is_noticed(monkeypatch):
    circle = {PACKAGE / 'ops' / name: {PACKAGE / 'ops' / other} for name, other in (('a.py', 'b.py'), ('b.py', 'a.py'))}
    monkeypatch.setattr('tests.test_layers.edges', lambda: circle)
    with pytest.raises(AssertionError, match='circle'):
        test_no_circle_in_a_folder(PACKAGE / 'ops')


@pytest.mark.parametrize('path', files(PACKAGE / 'hosts'), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_host_knows_its_own_library_alone(path):
    """hosts/mmseg may import mmseg, hosts/detectron2 Detectron2; arrays and folder neither."""
    parts = path.relative_to(PACKAGE).parts
    own = parts[1].removesuffix('.py')
    allowed = {
        'mmseg': {'mmseg', 'mmengine', 'mmcv'},
        'detectron2': {'detectron2'},
        'ray_data': {'ray'},
        'web': {'gradio', 'starlette'},
    }.get(own, set())
    for name in imports(path):
        first, *rest = name.split('.')
        # config files are mmengine's, whoever reads them
        assert first not in HOSTS - allowed - {'mmengine'}, f'{"/".join(parts)} imports {name}'
        if first == 'mmseg_g4seg' and rest[0] == 'hosts' and len(rest) > 1:
            # a cluster runs the jobs of the hosts that write folders
            shared = ('arrays', 'base_configs', 'folder', 'sources', *(['generate'] if own == 'ray_data' else []))
            assert rest[1] in (own, *shared), f'{"/".join(parts)} imports another host: {name}'


@pytest.mark.parametrize('project', PROJECTS)
def test_projects_never_import_each_other(project):
    # their tests may: the demo's scenes are the pictures that a training is tested on
    found = [(p, name) for p in files(ROOT / 'projects' / project) for name in imports(p)]
    # a module beside them is for all
    others = {f'projects.{other}' for other in PROJECTS if other != project}
    assert [f'{p.name}: {name}' for p, name in found if '.'.join(name.split('.')[:2]) in others] == []


def test_the_packages_tests_need_no_project():
    """Who takes the package alone runs its tests; a project's own may use them."""
    found = [(p, name) for p in (ROOT / 'tests').rglob('*.py') for name in imports(p)]
    assert [f'{p.name}: {name}' for p, name in found if name.split('.')[0] == 'projects'] == []


def test_no_class_overrides_what_another_module_keeps_to_itself():
    """What subclasses elsewhere are to write has a public name."""
    classes: dict[str, tuple[Path, list[str], set[str]]] = {}
    for path in [*FILES, *files(ROOT / 'projects')]:
        for node in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)):
            bases = [ast.unparse(base).split('[')[0].split('.')[-1] for base in node.bases]
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            classes[node.name] = (path, bases, {m for m in methods if m.startswith('_') and not m.startswith('__')})

    def ancestors(name: str) -> set[str]:
        bases = {base for base in classes[name][1] if base in classes}
        return bases.union(*map(ancestors, bases))

    found = [
        f'{name}.{method}, of {base}'
        for name, (path, _, methods) in classes.items()
        for base in ancestors(name)
        if classes[base][0] != path
        for method in methods & classes[base][2]
    ]
    assert found == []


def test_nothing_of_projects_is_installed(tmp_path):
    """What setuptools would put into the wheel, and where it puts configs and tools."""
    command = [
        sys.executable,
        'setup.py',
        '-q',
        'egg_info',
        '--egg-base',
        tmp_path,
        'build_py',
        '--build-lib',
        tmp_path,
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    built = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file() and '.egg-info' not in str(p)}
    assert {p.split('/')[0] for p in built} == {'mmseg_g4seg'}
    assert {'mmseg_g4seg/.mim/tools/test.py', 'mmseg_g4seg/.mim/configs/_base_/refiners/g4seg_tiny.py'} <= built
    assert {'mmseg_g4seg/py.typed', 'mmseg_g4seg/.mim/model-index.yml'} <= built
    assert 'mmseg_g4seg/.mim/configs/_base_/classes/voc21.txt' in built, 'words that configs name'


def test_fixed_names_are_where_they_were_promised():
    import mmseg_g4seg.diffusion as diffusion
    from mmseg_g4seg.diffusion import injection
    from mmseg_g4seg.ops import match_features, mix_foreground_probs

    assert all(
        map(callable, (injection.mask_biased_attention, diffusion.predict_x0, match_features, mix_foreground_probs))
    )


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


def test_the_package_alone_imports_nothing_heavy():
    """Not even torch, which takes seconds: `g4seg --help` need not wait for it."""
    code = 'import mmseg_g4seg, sys; print([m for m in ("torch", "numpy", "mmengine", "mmseg") if m in sys.modules])'
    assert run_python(code) == '[]'


def test_works_without_a_host():
    """Names import no models, and refining tensors no host."""
    code = """
from mmseg_g4seg import *
print([m for m in ('diffusers', 'transformers', 'open_clip', 'mmseg') if m in sys.modules])
import torch
from mmseg_g4seg import Prediction, build_refiner
refiner = build_refiner(dict(type='G4SegRefiner', prior='tiny', image_size=64))
image, probs = torch.rand(3, 40, 50), torch.rand(3, 40, 50).softmax(0)
refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), ['sky', 'tree', 'ball'])
print(tuple(refined.label_map.shape), tuple(refined.probs.shape), 'mmseg' in sys.modules)
"""
    assert run_python(BLOCK + code).splitlines() == ['[]', '(40, 50) (3, 40, 50) False']


def test_import_registers_with_the_host():
    """And says nothing of parts that mmseg and mmcv lack, which are not the user's."""
    pytest.importorskip('mmseg')
    code = (
        'import mmseg_g4seg, sys; from mmseg.registry import MODELS, METRICS; '
        "print(all(n in MODELS for n in ('RefinedSegmentor', 'SavedScoresSegmentor', 'RefinedSegTTAModel')), "
        "'RefinementMetric' in METRICS, 'diffusers' in sys.modules, 'open_clip' in sys.modules)"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split('\n')[-2] == 'True True False False'
    for noise in ('Could not import OneDL', 'MultiScaleDeformableAttention'):
        assert noise not in done.stdout + done.stderr
