"""Loads a prior from a folder or hub id in diffusers layout; the family is read from its index."""

import importlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from .base import DiffusionPrior
from .stable_diffusion import PARTS, StableDiffusionPrior

EMBEDDED_PRIORS = {'tiny': Path(__file__).parents[1] / 'assets' / 'prior_tiny'}
"""Priors that the package carries, by name."""

FAMILIES = {'StableDiffusionPipeline': (StableDiffusionPrior, PARTS)}
"""Pipeline class in `model_index.json` -> the prior's class and its parts."""

DtypeName = Literal['float32', 'bfloat16', 'float16']


def load_prior(source: str | Path, *, dtype: DtypeName = 'float32', variant: str | None = None) -> DiffusionPrior:
    """Loads a frozen prior on the CPU.

    Args:
        source: `tiny` for the embedded prior, a folder in diffusers layout, or a hub id such as
            `stable-diffusion-v1-5/stable-diffusion-v1-5`.
        dtype: of the weights and of all passes.
        variant: file variant, such as `fp16`, where the source offers some.

    Raises:
        FileNotFoundError: if the source is neither a folder nor reachable, or lacks a part.
        ValueError: if the family or the dtype is not known.
        ImportError: if diffusers or transformers is missing.
    """
    if dtype not in get_args(DtypeName):
        raise ValueError(f'dtype: expected one of {get_args(DtypeName)}, got {dtype!r}')
    folder = _resolve(source)
    prior_class, parts = _family(folder)
    for name in parts:
        if not (folder / name).is_dir():
            raise FileNotFoundError(f'prior {folder}: expected the parts {sorted(parts)}, {name!r} is missing')
    loaded = {name: _load_part(folder, name, *parts[name], getattr(torch, dtype), variant) for name in parts}
    return prior_class(**loaded)


def _resolve(source: str | Path) -> Path:
    """Finds the folder of a source, downloading a hub id once."""
    if source in EMBEDDED_PRIORS:
        return EMBEDDED_PRIORS[str(source)]
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or str(source).startswith('.') or str(source).count('/') != 1:
        raise FileNotFoundError(
            f'prior {str(source)!r}: no such folder; expected a folder in diffusers layout, a hub id '
            f'(owner/name) or one of {sorted(EMBEDDED_PRIORS)}'
        )
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(str(source)))
    except Exception as error:
        raise FileNotFoundError(
            f'prior {str(source)!r}: neither a local folder nor a hub repository that could be reached ({error})'
        ) from error


def _family(folder: Path) -> tuple[type[StableDiffusionPrior], dict[str, tuple[str, str]]]:
    index = folder / 'model_index.json'
    if not index.is_file():
        raise FileNotFoundError(f'prior {folder}: expected model_index.json, which is missing')
    name = json.loads(index.read_text()).get('_class_name')
    if name not in FAMILIES:
        raise ValueError(f'{index}: expected a pipeline of {sorted(FAMILIES)}, got {name!r}')
    return FAMILIES[name]


def _load_part(folder: Path, name: str, library: str, class_name: str, dtype: torch.dtype, variant: str | None) -> Any:
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f'loading a prior needs {library}: pip install "mmseg_g4seg[diffusion]"') from error
    options: dict[str, Any] = {}
    if library == 'diffusers' and name != 'scheduler':
        options = {'torch_dtype': dtype, 'variant': variant, 'low_cpu_mem_usage': _has_accelerate()}
    elif name == 'text_encoder':
        options = {'torch_dtype': dtype, 'variant': variant}
    try:
        return getattr(module, class_name).from_pretrained(folder / name, **options)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f'prior {folder}: the part {name!r} could not be loaded: {error}') from error


def _has_accelerate() -> bool:
    return importlib.util.find_spec('accelerate') is not None
