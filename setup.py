"""Package metadata; the pinned, tested set of versions is requirements/tested.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'mmseg_g4seg/__init__.py').read_text()).group(1)


class BuildWithConfigs(build_py):
    """Puts configs and tools where mim and `_base_ = 'mmseg_g4seg::...'` look for them, as mmseg's own wheel does."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'mmseg_g4seg' / '.mim'
        for name in ('configs', 'tools'):
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(
    name='mmseg_g4seg',
    version=VERSION,
    description='Refines segmentation masks with a text-to-image diffusion model, behind any MMSegmentation model',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['mmseg_g4seg', 'mmseg_g4seg.*']),
    package_data={
        'mmseg_g4seg': [
            'assets/**/*',
            'py.typed',
            'evaluation/html/*.jinja',
            'evaluation/html/*.css',
            'evaluation/html/*.js',
            'hosts/web/*.css',
        ]
    },
    install_requires=[
        'torch>=2.1',
        'numpy>=1.23',
        'pillow>=9.1',
        'tqdm>=4.60',
        'jinja2>=3.0',
        'diffusers>=0.30',
        'transformers>=4.38',
        'safetensors>=0.4.1',
    ],
    entry_points={'console_scripts': ['g4seg = mmseg_g4seg.cli.command:main']},
    # none brings mmseg or Detectron2: the packages of one host would be installed over those of another
    extras_require={
        'app': ['gradio>=6.31,<7'],
        'clip': ['open_clip_torch>=3.0'],
        'coco': ['pycocotools>=2.0.7'],
        'completion': ['shtab>=1.6'],
        'crf': ['pydensecrf2>=1.1'],
        'cascadepsp': ['segmentation-refinement>=0.6'],
        'sam': ['scipy>=1.9'],
        'seeds': ['open_clip_torch>=3.0', 'scipy>=1.9', 'torchvision>=0.16'],
        'ray': ['ray[data]>=2.60'],
        'segrefiner': ['torchvision>=0.16'],
        'mat': ['scipy>=1.9'],
        'docs': ['mkdocs>=1.6', 'mkdocstrings[python]>=0.26'],
        'dev': [
            'pytest>=8',
            'pytest-xdist>=3.5',
            'ruff>=0.6',
            'mypy>=1.10',
            'pre-commit>=3',
            'playwright>=1.40',
            'wheel>=0.40',
            # what tests of optional parts need
            'pycocotools>=2.0.7',
            'pydensecrf2>=1.1',
            'scipy>=1.9',
            'segmentation-refinement>=0.6',
            'shtab>=1.6',
        ],
    },
)
