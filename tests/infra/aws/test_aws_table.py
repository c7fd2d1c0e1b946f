"""The table itself: facts from CloudFormation's schemas, exceptions with their source, no change without a call."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator

import pytest

from infra.rehearsal.providers.aws.facts_make import FACTS, make
from infra.rehearsal.providers.aws.property_types import Properties, Property
from infra.rehearsal.providers.aws.resource import ResourceType
from infra.rehearsal.providers.aws.table import TypeTable

ROWS = TypeTable().resources
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def members(properties: Properties) -> Iterator[Property]:
    for shape in properties.values():
        yield shape
        yield from members(shape.of)


def fixed(table: TypeTable, row: ResourceType, name: str) -> bool:
    """Whether every change of the input, whole or of any member, makes a new resource."""
    if table.replaces(row, name):
        return True
    inner = [member for member, shape in row.properties[name].of.items() if not shape.output]
    return bool(inner) and all(table.replaces(row, f"{name}.{member}") for member in inner)


def test_facts_are_what_the_schemas_say() -> None:
    pytest.importorskip("cfnlint", reason="cfn-lint is a development dependency")
    written = json.loads(FACTS.read_text())["types"]
    assert written == make()["types"], "run: python -m infra.rehearsal.providers.aws.facts_make"


@every
def test_every_exception_says_where_it_comes_from(row: ResourceType) -> None:
    for shape in members(row.all_properties()):
        assert (shape.replaces is not None) == bool(re.fullmatch(r"internal/[\w/]+\.go", shape.source))


@every
def test_facts_come_from_cloudformation_or_the_row_cites_terraform(
    row: ResourceType, table: TypeTable
) -> None:
    cited = [shape.source for shape in members(row.properties) if shape.source]
    assert row.type in table.facts or cited


@every
def test_each_input_is_carried_by_a_call_or_makes_a_new_resource(row: ResourceType, table: TypeTable) -> None:
    carried = {key for change in row.changes for key in change.keys}
    for name, shape in row.properties.items():
        assert (name in carried) != (fixed(table, row, name) or shape.local), name


@every
def test_no_program_may_give_what_is_read_only(row: ResourceType, table: TypeTable) -> None:
    known = table.facts.get(row.type)
    assert not set(row.properties) & set(row.outputs)
    assert known is None or not {name for name in known.read_only if name in row.properties}


@every
def test_names_are_pulumis_own(row: ResourceType) -> None:
    """The pulumi_aws class of the token has every input and output by these names."""
    import pulumi
    import pulumi_aws

    package, _, name = row.type.removeprefix("aws:").partition("/")
    # By attributes: a module of a package that is still to be loaded would leave that package empty for good.
    cls = getattr(getattr(pulumi_aws, package), name.partition(":")[2])
    assert cls.pulumi_type == row.type
    outputs = {
        getattr(member.fget, "_pulumi_name", "")
        for member in vars(cls).values()
        if isinstance(member, property)
    }
    assert issubclass(cls, pulumi.CustomResource)
    assert {*row.all_properties(), *row.outputs} <= outputs


@every
def test_the_page_lists_it(row: ResourceType, repository: pathlib.Path) -> None:
    page = (repository / "docs" / "architecture" / "aws-provider.md").read_text()
    outputs = [*row.outputs, *(["tagsAll"] if row.tag else [])]
    assert f"| `{row.type}` | {', '.join(row.all_properties())} | {', '.join(outputs)} |" in page
