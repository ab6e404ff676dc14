"""Loads a prior from a folder or hub id in diffusers layout; the family is read from its index."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from mmseg_g4seg.diffusion.acceleration import compile_blocks
from mmseg_g4seg.diffusion.families.flux import FluxPrior
from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.families.stable_diffusion_3 import StableDiffusion3Prior
from mmseg_g4seg.diffusion.families.stable_diffusion_xl import StableDiffusionXLPrior
from mmseg_g4seg.diffusion.injection.controlnet import check_controlnet, load_controlnet, read_controlnet_config
from mmseg_g4seg.diffusion.prior import DiffusionPrior

from .hub import is_hub_id, refuse_missing_weights
from .lora import find_lora, fuse_lora
from .tiny_autoencoder import load_tiny_autoencoder

EMBEDDED_PRIORS = {'tiny': Path(__file__).parents[2] / 'assets' / 'prior_tiny'}
"""Priors that the package carries, by name."""

FAMILIES: dict[str, type[LatentPrior]] = {
    'FluxPipeline': FluxPrior,
    'LatentConsistencyModelPipeline': StableDiffusionPrior,
    'StableDiffusion3Pipeline': StableDiffusion3Prior,
    'StableDiffusionPipeline': StableDiffusionPrior,
    'StableDiffusionXLPipeline': StableDiffusionXLPrior,
}
"""Pipeline class in `model_index.json` -> the prior's class, which lists its parts."""

DtypeName = Literal['float32', 'bfloat16', 'float16']


def load_prior(
    source: str | Path,
    *,
    dtype: DtypeName = 'float32',
    variant: str | None = None,
    lora: str | Path | None = None,
    guidance_scale: float | None = None,
    controlnet: str | Path | None = None,
    autoencoder: str | Path | None = None,
    vae_slicing: bool = False,
    vae_tiling: bool = False,
    compiled: bool = False,
) -> DiffusionPrior:
    """Loads a frozen prior on the CPU.

    Args:
        source: `tiny` for the embedded prior, a folder in diffusers layout, or a hub id such as
            `stable-diffusion-v1-5/stable-diffusion-v1-5`.
        dtype: of the weights and of all passes.
        variant: file variant, such as `fp16`, where the source offers some.
        lora: file, folder or hub id of a LoRA that is added to the weights, such as
            `latent-consistency/lcm-lora-sdv1-5`.
        guidance_scale: for denoisers that were distilled to read one (LCM, FLUX.1 [dev]); their
            pipeline's own when not given.
        controlnet: folder or hub id of a ControlNet trained on ADE20K's segmentations, for SD 1.x and
            2.x, such as `lllyasviel/control_v11p_sd15_seg`.
        autoencoder: folder or hub id of a tiny autoencoder in place of the prior's own, such as
            `madebyollin/taesd` for SD 1.x and 2.x.
        vae_slicing: encode and decode one image at a time, which saves memory.
        vae_tiling: encode and decode large images tile by tile, which saves more, and blends the seams.
        compiled: compile blocks by `torch.compile`, see `compile_blocks`; the first pass takes minutes.

    Raises:
        FileNotFoundError: if the source, or what is loaded beside it, is neither local nor reachable, or
            the source lacks a part.
        ValueError: if the family or the dtype is not known, if what is loaded beside it was made for
            another base, or if the denoiser reads no guidance scale.
        ImportError: if diffusers or transformers is missing.
    """
    if dtype not in get_args(DtypeName):
        raise ValueError(f'dtype: expected one of {get_args(DtypeName)}, got {dtype!r}')
    lora_file = None if lora is None else find_lora(lora)
    control_config = None if controlnet is None else read_controlnet_config(controlnet)
    folder = _resolve(source, variant)
    prior_class, present = _family(folder)
    for name in present:
        if not (folder / name).is_dir():
            raise FileNotFoundError(f'prior {folder}: expected the parts {present}, {name!r} is missing')
    if control_config is not None:
        _check_controlnet(control_config, prior_class, folder, f'controlnet {str(controlnet)!r}')
    parts, loaded = prior_class.parts, {}
    if autoencoder is not None:
        own = read_config(folder / 'vae' / 'config.json')
        loaded['vae'] = load_tiny_autoencoder(autoencoder, own, dtype=getattr(torch, dtype))
    for name in (name for name in present if name not in loaded):
        loaded[name] = _load_part(folder, name, *parts[name], getattr(torch, dtype), variant)
    if lora_file is not None:
        fuse_lora({name: part for name, part in loaded.items() if isinstance(part, torch.nn.Module)}, lora_file)
    if controlnet is not None:
        memory = _has_accelerate()
        loaded['controlnet'] = load_controlnet(controlnet, dtype=getattr(torch, dtype), low_cpu_mem_usage=memory)
    prior = prior_class(**loaded, guidance_scale=guidance_scale)
    if vae_slicing:
        prior.vae.enable_slicing()
    if vae_tiling:
        prior.vae.enable_tiling()
    if compiled:
        for network in (prior.vae, prior.denoiser):
            compile_blocks(network)
    return prior


def _resolve(source: str | Path, variant: str | None) -> Path:
    """Finds the folder of a source, downloading a hub id once."""
    if source in EMBEDDED_PRIORS:
        return EMBEDDED_PRIORS[str(source)]
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(source):
        raise FileNotFoundError(
            f'prior {str(source)!r}: no such folder; expected a folder in diffusers layout, a hub id '
            f'(owner/name) or one of {sorted(EMBEDDED_PRIORS)}'
        )
    from diffusers import DiffusionPipeline

    options = {} if variant is None else {'variant': variant}
    try:
        return Path(DiffusionPipeline.download(str(source), **options))
    except Exception as error:
        raise FileNotFoundError(
            f'prior {str(source)!r}: neither a local folder nor a hub repository that could be reached ({error})'
        ) from error


def _family(folder: Path) -> tuple[type[LatentPrior], list[str]]:
    """The prior's class, and the names of the parts that its index does not leave out."""
    file = folder / 'model_index.json'
    index = read_config(file)
    name = index.get('_class_name')
    if name not in FAMILIES:
        raise ValueError(f'{file}: expected a pipeline of {sorted(FAMILIES)}, got {name!r}')
    family = FAMILIES[name]
    left_out = {part for part in family.optional_parts if index.get(part) in (None, [None, None])}
    return family, [part for part in family.parts if part not in left_out]


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


def _check_controlnet(config: dict[str, Any], family: type[LatentPrior], folder: Path, what: str) -> None:
    """Compares a ControlNet with the prior that it is for, by their configs: before gigabytes are read."""
    if not family.takes_controlnet:
        able = sorted(name for name, prior_class in FAMILIES.items() if prior_class.takes_controlnet)
        raise ValueError(f'{what}: expected a prior of {able}, got a {family.__name__}, {folder}')
    unet, vae = (read_config(folder / part / 'config.json') for part in ('unet', 'vae'))
    stride = 2 ** (len(vae['block_out_channels']) - 1)
    check_controlnet(config, unet, latent_stride=stride, what=f'{what} on the prior {folder}')


def _load_part(folder: Path, name: str, library: str, class_name: str, dtype: torch.dtype, variant: str | None) -> Any:
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f'loading a prior needs {library}: pip install {library}') from error
    options: dict[str, Any] = {}
    if library == 'diffusers' and name != 'scheduler':
        options = {'torch_dtype': dtype, 'variant': variant, 'low_cpu_mem_usage': _has_accelerate()}
    elif name.startswith('text_encoder'):
        options = {'torch_dtype': dtype, 'variant': variant}
    has_weights = bool(options)
    if has_weights:
        options['output_loading_info'] = True
    try:
        part = getattr(module, class_name).from_pretrained(folder / name, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f'prior {folder}: the part {name!r} could not be loaded: {error}') from error
    if not has_weights:
        return part
    part, info = part
    refuse_missing_weights(info, f'prior {folder}: the part {name!r}')
    # without accelerate, diffusers keeps SD 3's float32 weights as they are in the file
    return part if part.dtype == dtype else part.to(dtype)


def _has_accelerate() -> bool:
    return importlib.util.find_spec('accelerate') is not None
