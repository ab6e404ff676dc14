"""Where the weights of CLIP features are expected, and whether they are there; nothing is fetched."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .hub_cache import cache_folder, is_cached


def find_clip_weights(features: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Looks where the extractor itself will look.

    Args:
        features: config of a `FeatureExtractor`.

    Returns:
        The place, and whether the weights are there; None where the features are not CLIP's.
    """
    if features.get('type') == 'TransformersCLIPFeatures':
        return _of_transformers(str(features.get('model')))
    if features.get('type') == 'OpenCLIPFeatures':
        return _of_open_clip(features.get('model', 'ViT-B-16-quickgelu'), str(features.get('pretrained', 'openai')))
    return None


def _of_transformers(model: str) -> tuple[str, bool]:
    if Path(model).is_dir() or model.count('/') != 1:
        return model, Path(model).is_dir()
    return str(cache_folder(model)), is_cached(model, 'model.safetensors', 'pytorch_model.bin')


def _of_open_clip(model: str, pretrained: str) -> tuple[str, bool]:
    source, _, place = model.rpartition(':')  # local-dir:FOLDER, hf-hub:OWNER/NAME, or a name
    if source == 'local-dir':
        return place, Path(place).is_dir()
    if source == 'hf-hub':
        return _in_hub(place, '')
    if find_spec('open_clip') is None:
        return f'{model}, {pretrained}', Path(pretrained).is_file()
    from open_clip.pretrained import get_pretrained_cfg

    known = get_pretrained_cfg(model.replace('/', '-'), pretrained)
    if not known:
        return pretrained, Path(pretrained).is_file()
    if known.get('hf_hub'):
        repository, _, file = known['hf_hub'].rpartition('/')
        return _in_hub(repository, file)
    file = Path('~/.cache/clip').expanduser() / Path(known['url']).name
    return str(file), file.is_file()


def _in_hub(repository: str, file: str) -> tuple[str, bool]:
    """open_clip takes safetensors of the same name, too; without a name it looks for its own."""
    file = file or 'open_clip_pytorch_model.bin'
    safe = 'open_clip_model.safetensors' if file.startswith('open_clip_') else f'{Path(file).stem}.safetensors'
    return str(cache_folder(repository)), is_cached(repository, safe, file)
