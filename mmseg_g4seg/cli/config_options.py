"""`--cfg-options` of the tools that read mmengine configs."""

from typing import Any

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """mmengine's action, but a text keeps its blanks: it may be a path. mmengine takes them out without a word."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        is_list = ',' in val or val.startswith(('(', '['))
        return val if ' ' in val and not is_list else DictAction._parse_iterable(val)
