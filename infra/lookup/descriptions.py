"""botocore's descriptions of AWS's services, read in less time: megabytes of JSON, and every command reads some."""

from __future__ import annotations

import gzip
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import JSONFileLoader, Loader


class DescriptionFiles(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """Reads a description by msgspec. Its objects are plain dicts, which keep their order as well."""

    def load_file(self, file_path: str) -> Any:
        """The description, or None where there is none."""
        for name, read in ((f"{file_path}.json", Path.read_bytes), (f"{file_path}.json.gz", unpack)):
            if os.path.isfile(name):
                return msgspec.json.decode(read(Path(name)))
        return None


def unpack(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes())


class ServiceDescriptions(Loader):  # type: ignore[misc]
    """Knows a service by its folder. botocore's own looks into each of its 400 folders, once a kind of description, and
    says the same: one without that kind is refused when its versions are looked for."""

    @cached_property
    def folders(self) -> list[str]:
        """The services' names."""
        found = (os.listdir(path) for path in self.search_paths if os.path.isdir(path))
        return sorted({name for names in found for name in names})

    def list_available_services(self, type_name: str) -> list[str]:
        return self.folders


def load_quickly(session: Any) -> None:
    """Have a botocore session read its descriptions by these, from the same places."""
    given = session.get_config_variable("data_path") or ""
    places = [os.path.expandvars(os.path.expanduser(each)) for each in given.split(os.pathsep) if each]
    loader = ServiceDescriptions(extra_search_paths=places, file_loader=DescriptionFiles())
    session.register_component("data_loader", loader)
