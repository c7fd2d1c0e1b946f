"""Python files beside what is installed: plug-ins by path, and the user's code around a model."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


class FromSource(SourceFileLoader):
    """Runs the source as it stands: a `.pyc` beside it may be of an earlier second, or anybody's."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load_source(file: Path, name: str) -> ModuleType:
    """The file as the module `name`. Raises whatever its code raises."""
    loader = FromSource(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
