"""Calls a function as soon as a module has been imported: at once where it has, later where it has not.

A host's registries exist only once the host is there. To import it for their sake would cost every user of the
package 8 s, who may only want to refine a folder; to wait for the host costs nobody anything.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_import(name: str, function: Callable[[], object]) -> None:
    """Calls `function` after the top-level module `name` has been imported; never, where nobody imports it.

    Args:
        name: a module without a dot, such as 'mmseg'.
        function: what it raises reaches whoever imports the module.
    """
    if sys.modules.get(name) is not None:  # None stands there for a module that must not be imported
        function()
    else:
        sys.meta_path.insert(0, _Watcher(name, function))


class _Watcher(MetaPathFinder):
    """Finds a module as the other finders do, and has its loader call a function at its end."""

    def __init__(self, name: str, function: Callable[[], object]) -> None:
        self._name = name
        self._function = function
        self._asks_others = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name or self._asks_others:
            return None
        self._asks_others = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asks_others = False
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader)
        return spec

    def _call_after(self, loader: Any) -> None:
        """Stays on watch when a module is found: who only asks whether it is installed does not run it."""
        execute = loader.exec_module

        def execute_and_call(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self._function()

        # on this loader alone; one around it would lack what others ask of it, such as the source of `python -m`
        loader.exec_module = execute_and_call
