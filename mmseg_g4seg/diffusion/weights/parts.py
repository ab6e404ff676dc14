"""The parts of a prior's folder: their configs, classes and weights."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .hub import find_variant, fitting_releases, has_accelerate, refuse_missing_weights, without_loading_bar


def read_config(file: Path) -> dict[str, Any]:
    """Reads a JSON file of a prior.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is damaged.
    """
    if not file.is_file():
        raise FileNotFoundError(f'prior {file.parent}: expected {file.name}, which is missing')
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f'{file}: expected a JSON object, which it is not: {error}') from error


def part_class(library: str, class_name: str) -> Any:
    """The class that loads a part; ImportError names what to install."""
    try:
        return getattr(importlib.import_module(library), class_name)
    except (ImportError, AttributeError, RuntimeError) as error:  # the last two where torch is too old for it
        raise ImportError(f'loading a prior needs {library} ({error}); {fitting_releases(library)}') from error


def load_part(
    folder: Path,
    name: str,
    library: str,
    class_name: str,
    dtype: torch.dtype,
    variant: str | None,
    changes: Mapping[str, Any],
) -> Any:
    """Loads one part on the CPU.

    Args:
        folder: of the prior.
        name: of the part, its subfolder.
        library: whose class loads it.
        class_name: of that class.
        dtype: of its weights, where it has some.
        variant: of its files; the only one that there is when not given.
        changes: settings in place of those of its config.

    Raises:
        ImportError: if the library is missing, or too new for the installed torch.
        FileNotFoundError: if a file is missing or damaged.
        ValueError: if weights are missing.
    """
    cls = part_class(library, class_name)
    options: dict[str, Any] = dict(changes)
    variant = variant or find_variant(folder / name)
    if library == 'diffusers' and name != 'scheduler':
        options = {'torch_dtype': dtype, 'variant': variant, 'low_cpu_mem_usage': has_accelerate()}
    elif name.startswith('text_encoder'):
        options = {'torch_dtype': dtype, 'variant': variant}
    has_weights = 'torch_dtype' in options
    if has_weights:
        options['output_loading_info'] = True
    try:
        with without_loading_bar(library):
            part = cls.from_pretrained(folder / name, **options)
    except ImportError as error:  # a class that stands for one whose torch is too old
        raise ImportError(f'loading a prior needs {library} ({error}); {fitting_releases(library)}') from error
    except (OSError, ValueError, RuntimeError) as error:
        hint = '' if variant else "; of a repository with half precision alone, give variant='fp16'"
        raise FileNotFoundError(f'prior {folder}: the part {name!r} could not be loaded: {error}{hint}') from error
    if not has_weights:
        return part
    part, info = part
    refuse_missing_weights(info, f'prior {folder}: the part {name!r}', part)
    # without accelerate, diffusers keeps SD 3's float32 weights as they are in the file
    return part if part.dtype == dtype else part.to(dtype)
