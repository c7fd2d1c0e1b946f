"""Writes `facts.json` from the CloudFormation schemas that cfn-lint ships. Never run at runtime:

    python -m infra.rehearsal.providers.aws.facts_make            write it
    python -m infra.rehearsal.providers.aws.facts_make --check    exit 1 when it would change

A type's `createOnlyProperties` become `replaces`, its `readOnlyProperties` become `read_only`, both in the
names of pulumi-aws (dotted paths), and only for what the table's rows know.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.rehearsal.providers.aws.property_types import Properties, pascal
from infra.rehearsal.providers.aws.resource import ResourceType
from infra.rehearsal.providers.aws.table import TypeTable

FACTS = Path(__file__).with_name("facts.json")


def paths(properties: Properties, cloudformation: str = "", pulumi: str = "") -> Iterator[tuple[str, str]]:
    """CloudFormation's dotted path and pulumi's, for every property and its members."""
    for name, shape in properties.items():
        theirs = f"{cloudformation}{shape.cfn or pascal(shape.api or name)}"
        yield theirs, pulumi + name
        yield from paths(shape.of, f"{theirs}.", f"{pulumi}{name}.")


def facts(row: ResourceType, schema: dict[str, Any]) -> dict[str, list[str]]:
    """The facts of one row out of its CloudFormation schema."""
    names = dict(paths(row.properties))
    names |= {pascal(output): output for output in row.outputs if pascal(output) not in names}

    def translate(key: str) -> list[str]:
        pointers = (entry.removeprefix("/properties/") for entry in schema.get(key, ()))
        plain = (".".join(part for part in pointer.split("/") if part != "*") for pointer in pointers)
        return sorted({names[path] for path in plain if path in names})

    return {"replaces": translate("createOnlyProperties"), "read_only": translate("readOnlyProperties")}


def make() -> dict[str, Any]:
    """All facts, with where they come from."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    types = {}
    for row in sorted(TypeTable().resources.values(), key=lambda row: row.type):
        if row.cloudformation:
            schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", row.cloudformation).schema
            types[row.type] = {"cloudformation": row.cloudformation, **facts(row, schema)}
    return {"source": f"CloudFormation schemas of cfn-lint {version('cfn-lint')}", "types": types}


def main(arguments: list[str]) -> int:
    made = json.dumps(make(), indent=1) + "\n"
    if "--check" in arguments:
        return int(made != FACTS.read_text())
    FACTS.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
