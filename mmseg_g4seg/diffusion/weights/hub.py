"""Sources of models: local folders, or ids on the Hugging Face hub; and what a source must have."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch.torch_version import TorchVersion

WEIGHTS = re.compile(
    r'(diffusion_pytorch_model|pytorch_model|model)(-\d+-of-\d+)?(\.(?P<variant>\w+))?(-\d+-of-\d+)?'
    r'\.(safetensors|bin)'
)
"""Names of weight files, whole or in shards."""
NUMBER = re.compile(r'(?<=\.)\d+(?=\.)')
"""Of a layer, in the name of a weight."""


def is_hub_id(source: str | Path) -> bool:
    """Whether a source has the form of a hub id, owner/name."""
    # './owner/name' and '/owner/name' are folders that are missing, not ids to ask the network for
    return not (Path(source).expanduser().is_absolute() or str(source).startswith('.')) and str(source).count('/') == 1


def folder_or_hub_id(source: str | Path, what: str) -> str:
    """A source as diffusers takes it.

    Args:
        source: folder or hub id.
        what: how messages call it.

    Raises:
        FileNotFoundError: if it is no folder that there is, nor has the form of a hub id.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if not is_hub_id(source):
        raise FileNotFoundError(
            f'{what} {str(source)!r}: no such folder; expected one that diffusers wrote, or a hub id (owner/name)'
        )
    return str(source)


def find_variant(place: str | Path) -> str | None:
    """The variant of a folder's weights, such as `fp16`; None where there are plain ones, too, or no such folder.

    Half of the repositories of large models have half precision alone, and diffusers says that a `.bin` is missing.
    """
    return _only_variant(file.name for file in Path(place).glob('*'))


def hub_variant(source: str) -> str | None:
    """The same of a repository, by its parts; None, too, where the hub cannot be asked: what was downloaded decides."""
    from huggingface_hub import HfApi

    try:
        files = [PurePosixPath(name) for name in HfApi().list_repo_files(source)]
    except Exception:  # offline, or no such repository, which the download says in better words
        return None
    parts = {file.parent for file in files if len(file.parts) == 2}
    # the scheduler has no weights, and some repositories keep their small text encoder in full precision
    variants = [_only_variant(f.name for f in files if f.parent == part) for part in sorted(parts)]
    return next((variant for variant in variants if variant is not None), None)


def _only_variant(names: Iterable[str]) -> str | None:
    found = {match['variant'] for name in names if (match := WEIGHTS.fullmatch(name))}
    return None if None in found or not found else 'fp16' if 'fp16' in found else min(found)


def fitting_releases(library: str) -> str:
    """What to install where a library is missing, or newer than the installed torch: its error names neither."""
    if TorchVersion(torch.__version__) < '2.6':
        return f"with torch {torch.__version__}: pip install 'diffusers<0.36' 'transformers<4.56'"
    return f'pip install {library}'


@contextmanager
def without_loading_bar(library: str) -> Iterator[None]:
    """Within it, diffusers or transformers shows no progress bar; files are read in a second, a bar a part is noise.

    Not around a download, which may take minutes.
    """
    logging = import_module(f'{library}.utils.logging')
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def refuse_missing_weights(info: Mapping[str, Any], what: str, network: Any = None) -> None:
    """Raises ValueError if a model was loaded without some of its weights, or without layers that the weights have.

    Libraries leave the former random and the latter out, with a report at most.

    Args:
        info: loading info of diffusers or transformers.
        what: how the message calls the model.
        network: the model; without it the latter are not looked for.
    """
    missing = sorted(info['missing_keys'])
    if missing:
        raise ValueError(f'{what}: expected weights of every layer, {len(missing)} are missing, such as {missing[0]!r}')
    # other names are other models' in the same file, as a text encoder's beside an image encoder's
    kinds = set() if network is None else {NUMBER.sub('#', name) for name in network.state_dict()}
    unread = [n for n in sorted(info['unexpected_keys']) if NUMBER.search(n) and NUMBER.sub('#', n) in kinds]
    if unread:
        raise ValueError(
            f'{what}: expected a config of every layer that there are weights of, {len(unread)} weights are left out, '
            f'such as {unread[0]!r}'
        )


def has_accelerate() -> bool:
    """Whether accelerate is there, without which diffusers cannot load weights straight into place."""
    return find_spec('accelerate') is not None
