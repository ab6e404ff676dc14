"""Loads a prior from a folder or hub id in diffusers layout, or from a single file; an index names the family."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from mmseg_g4seg.registry import call_with_options, parts_of

from . import families as families  # whose parts are registered by that
from .acceleration import compile_blocks
from .families.latent import LatentPrior
from .named import expected_names, named_prior
from .prior import DiffusionPrior
from .weights.hub import hub_variant, is_hub_id
from .weights.lora import find_lora, fuse_lora
from .weights.parts import load_part, part_class, read_config
from .weights.schedulers import check_scheduler, implied_settings
from .weights.single_file import SingleFile, single_file
from .weights.tiny_autoencoder import load_tiny_autoencoder

_LOADED: ContextVar[dict[tuple[Any, ...], DiffusionPrior] | None] = ContextVar('loaded priors', default=None)
"""Those of the refiner that is being built, by what they were loaded from."""

NETWORKS = ('unet', 'vae', 'text_encoder')
"""How the names of parts begin that a single file holds the weights of."""

DtypeName = Literal['float32', 'bfloat16', 'float16']


def load_prior(
    source: str | Path,
    *,
    dtype: DtypeName = 'float32',
    variant: str | None = None,
    base: str | Path | None = None,
    lora: str | Path | None = None,
    guidance_scale: float | None = None,
    autoencoder: str | Path | None = None,
    tiling: bool = False,
    compiled: bool = False,
) -> DiffusionPrior:
    """Loads a frozen prior on the CPU; inside `loaded_once`, one of the same source and options once.

    Args:
        source: `tiny` for the embedded prior, or a name that an installed package announces (`named.py`); a folder in
            diffusers layout, a hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`, or a `.safetensors` or
            `.ckpt` file in the original layout of Stable Diffusion 1, 2 or XL.
        dtype: of the weights and of all passes.
        variant: file variant, such as `fp16`, where the source offers some; its only one is found by itself.
        base: of a single file: folder or hub id of the model that it was made from, whose configs and tokenizers are
            read; recognised where the file says enough.
        lora: file, folder or hub id of a LoRA that is added to the weights, such as
            `latent-consistency/lcm-lora-sdv1-5`.
        guidance_scale: for denoisers that were distilled to read one (LCM, FLUX.1 [dev]); their
            pipeline's own when not given.
        autoencoder: folder or hub id of a tiny autoencoder in place of the prior's own, such as
            `madebyollin/taesd` for SD 1.x and 2.x.
        tiling: encode and decode large images tile by tile, which saves memory, and blends the seams.
        compiled: compile blocks by `torch.compile`, see `compile_blocks`; the first pass takes minutes.

    Raises:
        FileNotFoundError: if the source, or what is loaded beside it, is neither local nor reachable, or
            the source lacks a part.
        ValueError: if the family or the dtype is not known, if the scheduler's noise levels are of another kind, if
            what is loaded beside it was made for another base, or if the denoiser reads no guidance scale.
        ImportError: if diffusers or transformers is missing.
    """
    if dtype not in get_args(DtypeName):
        raise ValueError(f'dtype: expected one of {get_args(DtypeName)}, got {dtype!r}')
    # found before the prior, which may be a download of 5 GB
    lora_file = None if lora is None else find_lora(lora)
    file = single_file(source)
    if base is not None and file is None:
        raise ValueError(f'base: expected None beside a folder or hub id, which is whole by itself, got {str(base)!r}')
    place = file or _resolve(source, variant)
    loaded = _LOADED.get()
    key = (place.resolve(), str(base), lora_file, str(autoencoder), dtype, variant, guidance_scale, tiling, compiled)
    if loaded is not None and key in loaded:
        return loaded[key]
    checkpoint = None if file is None else SingleFile(file, base)
    prior = _load(checkpoint or place, getattr(torch, dtype), variant, lora_file, autoencoder, guidance_scale)
    if tiling:
        prior.vae.enable_tiling()
    if compiled:
        for network in (prior.vae, prior.denoiser):
            compile_blocks(network)
    if loaded is not None:
        loaded[key] = prior
    return prior


@contextmanager
def loaded_once() -> Iterator[None]:
    """Within it, a prior that is named twice is loaded once: a chain of two refiners on SD 2.1 holds 5 GB, not 10.

    For what is built together, and moves together, alone: refiners of their own may go to devices of their own.
    """
    # the outermost counts, so that a chain inside a chain shares with it
    outer = _LOADED.get()
    token = _LOADED.set({} if outer is None else outer)
    try:
        yield
    finally:
        _LOADED.reset(token)


def _load(
    source: Path | SingleFile,
    dtype: torch.dtype,
    variant: str | None,
    lora_file: Path | None,
    autoencoder: str | Path | None,
    guidance_scale: float | None,
) -> LatentPrior:
    folder = source.folder if isinstance(source, SingleFile) else source
    prior_class, present = _family(folder)
    parts: dict[str, tuple[str, str]] = prior_class.parts
    loaded: dict[str, Any] = {}
    if autoencoder is not None:
        own = read_config(folder / 'vae' / 'config.json')
        loaded['vae'] = load_tiny_autoencoder(autoencoder, own, dtype=dtype)
    for name in (name for name in present if name not in loaded):
        library, class_name = parts[name]
        if isinstance(source, SingleFile) and name.startswith(NETWORKS):
            loaded[name] = source.build(name, part_class(library, class_name), dtype)
            continue
        changes = source.scheduler if isinstance(source, SingleFile) and name == 'scheduler' else {}
        loaded[name] = load_part(folder, name, library, class_name, dtype, variant, changes)
    if 'scheduler' in loaded:
        loaded['scheduler'].register_to_config(**implied_settings(read_config(_scheduler_config(folder))))
    if lora_file is not None:
        fuse_lora({name: part for name, part in loaded.items() if isinstance(part, torch.nn.Module)}, lora_file)
    return prior_class(**loaded, guidance_scale=guidance_scale)


def as_prior(prior: 'DiffusionPrior | str | Path | Mapping[str, Any]') -> DiffusionPrior:
    """A built prior, or the one that a config names.

    Args:
        prior: built; a source of `load_prior`; or a dict of its arguments, `dict(source=..., dtype=...)`.

    Raises:
        ValueError: if an argument is not known; names the nearest.
        FileNotFoundError: as `load_prior`, whose other errors may follow.
    """
    if isinstance(prior, DiffusionPrior):
        return prior
    options = {'source': prior} if isinstance(prior, str | Path) else prior
    return call_with_options(load_prior, options, 'prior')


def _resolve(source: str | Path, variant: str | None) -> Path:
    """Finds the folder of a source, downloading a hub id once."""
    # before any folder of that name: 'tiny' is the same wherever a command is started
    if (named := named_prior(source)) is not None:
        return named
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(source):
        raise FileNotFoundError(
            f'prior {str(source)!r}: no such folder; expected a folder in diffusers layout, a hub id '
            f'(owner/name) or one of {expected_names()}'
        )
    from diffusers import DiffusionPipeline

    variant = variant or hub_variant(str(source))
    options = {} if variant is None else {'variant': variant}
    try:
        return Path(DiffusionPipeline.download(str(source), **options))
    except Exception as error:
        raise FileNotFoundError(
            f'prior {str(source)!r}: neither a local folder nor a hub repository that could be reached ({error})'
        ) from error


def _scheduler_config(folder: Path) -> Path:
    return folder / 'scheduler' / 'scheduler_config.json'


def _family(folder: Path) -> tuple[type[LatentPrior], list[str]]:
    """The prior's class, and the names of the parts that its index does not leave out; all are there."""
    file = folder / 'model_index.json'
    index = read_config(file)
    families = {name: family for family in parts_of(LatentPrior) for name in family.pipelines}
    name = index.get('_class_name')
    if name not in families:
        raise ValueError(f'{file}: expected a pipeline of {sorted(families)}, got {name!r}')
    family = families[name]
    left_out = {part for part in family.optional_parts if index.get(part) in (None, [None, None])}
    present = [part for part in family.parts if part not in left_out]
    for name in present:
        if not (folder / name).is_dir():
            raise FileNotFoundError(f'prior {folder}: expected the parts {present}, {name!r} is missing')
    if 'scheduler' in present:  # now, before gigabytes of the others are read
        settings = _scheduler_config(folder)
        check_scheduler(read_config(settings), family.parts['scheduler'][1], str(settings))
    return family, present
