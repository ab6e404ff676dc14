"""What lies in the local cache of the Hugging Face hub; nothing is fetched."""

from pathlib import Path


def is_cached(repository: str, *files: str) -> bool:
    """Whether the cache has one of a repository's files."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)
    except HFValidationError:
        return False


def cache_folder(repository: str) -> Path:
    """Where the cache has a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type='model')
