"""Priors of the real architectures at full size, with random weights: nothing is downloaded.

`architectures/NAME.json` names the pipeline and gives the config of each of its parts, in the words of
diffusers' and transformers' own `config.json`; a text in place of a config names a file in `parts/`.
"""

import importlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.loading import DtypeName, load_prior
from mmseg_g4seg.diffusion.named import named_prior, prior_names
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.registry import parts_of

from .tokenizers import clip_tokenizer, t5_tokenizer

FOLDER = Path(__file__).parent / 'architectures'

ARCHITECTURES = sorted(path.stem for path in FOLDER.glob('*.json'))
"""Names of the architectures that the package describes."""


def read_architecture(name: str) -> dict[str, Any]:
    """Reads an architecture: `_class_name` of its pipeline, and the config of each part.

    Raises:
        ValueError: if the name is not known.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f'architecture: expected one of {ARCHITECTURES}, got {name!r}')
    content = json.loads((FOLDER / f'{name}.json').read_text())
    shared = FOLDER / 'parts'
    return {
        part: json.loads((shared / f'{config}.json').read_text())
        if isinstance(config, str) and part != '_class_name'
        else config
        for part, config in content.items()
    }


def build_networks(name: str, device: torch.device | str, dtype: torch.dtype) -> dict[str, torch.nn.Module]:
    """Builds the networks of an architecture where and in the dtype that they will run.

    Weights are drawn in place: 12 billion of them never pass through float32 on the CPU. On the
    device `meta` they take no memory at all.

    Args:
        name: of `ARCHITECTURES`.
        device: of the weights.
        dtype: of the weights.

    Returns:
        Networks by the names of their parts.
    """
    architecture = read_architecture(name)
    parts = _family(architecture).parts
    with _created(torch.device(device), dtype):
        networks = {
            part: _build_network(*parts[part], architecture[part])
            for part in parts
            if part in architecture and not part.startswith(('tokenizer', 'scheduler'))
        }
    return {part: _cast(network, dtype) for part, network in networks.items()}


def build_prior(name: str, *, device: torch.device | str, dtype: DtypeName, class_names: Sequence[str]) -> LatentPrior:
    """Builds a prior with random weights.

    Args:
        name: of `ARCHITECTURES`.
        device: of the weights.
        dtype: of the weights and of all passes.
        class_names: that the tokenizers learn their words from; any other text still tokenises.

    Raises:
        ValueError: if the name is not known.
    """
    architecture = read_architecture(name)
    family = _family(architecture)
    parts: dict[str, Any] = dict(build_networks(name, device, getattr(torch, dtype)))
    for part, (library, class_name) in family.parts.items():
        if part == 'scheduler':
            parts[part] = getattr(importlib.import_module(library), class_name).from_config(architecture[part])
        elif part.startswith('tokenizer'):
            parts[part] = t5_tokenizer(class_names) if 'T5' in class_name else clip_tokenizer(class_names)
    return family(**parts)


def open_prior(source: str, *, device: torch.device | str, dtype: DtypeName, class_names: Sequence[str]) -> LatentPrior:
    """Builds an architecture, or loads the embedded prior or a folder in diffusers layout.

    Args:
        source: one of `ARCHITECTURES`, `tiny`, or a folder.
        device: of the weights.
        dtype: of the weights and of all passes.
        class_names: see `build_prior`.

    Raises:
        ValueError: if there is no such architecture and no such folder.
    """
    if source in ARCHITECTURES:
        return build_prior(source, device=device, dtype=dtype, class_names=class_names)
    if named_prior(source) is None and not Path(source).is_dir():
        known = [*ARCHITECTURES, *prior_names()]
        raise ValueError(f"architecture: expected one of {known} or a prior's folder, got {source!r}")
    prior: DiffusionPrior = load_prior(source, dtype=dtype)
    assert isinstance(prior, LatentPrior)
    return prior.to(device)


def _family(architecture: dict[str, Any]) -> type[LatentPrior]:
    families = {name: family for family in parts_of(LatentPrior) for name in family.pipelines}
    return families[architecture['_class_name']]


def _build_network(library: str, class_name: str, config: dict[str, Any]) -> torch.nn.Module:
    network_class = getattr(importlib.import_module(library), class_name)
    network: torch.nn.Module
    if library == 'diffusers':
        network = network_class.from_config(config)
    else:
        network = network_class(network_class.config_class(**config))
    return network.eval().requires_grad_(False)


def _cast(network: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Casts what a network creates in float32 whatever the default is, such as SD 3's positions."""
    floating = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    return network if all(tensor.dtype == dtype for tensor in floating) else network.to(dtype)


@contextmanager
def _created(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """New tensors lie on `device`, floating ones in `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)
