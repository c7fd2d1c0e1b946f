"""What AWS refuses, refused by the local cloud: one test a row of the table, and the page that lists them."""

from __future__ import annotations

import os
import pathlib
import re
import string
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from waiting import wait_for

from infra.rehearsal.cloud.aws.calls import MODELS
from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, RefusalRow
from infra.rehearsal.cloud.aws.refusals.table import RefusalTable

ROWS = RefusalTable().rows
TITLES = [f"{row.service}-{row.operation}: {row.when}" for row in ROWS]
HEAD = """# What AWS refuses, and the local cloud with it

One row a refusal (`infra/rehearsal/cloud/aws/refusals/`), each played by `tests/infra/cloud/test_cloud_refusals.py`:
the call that must be refused, and one like it that must pass. This page is written by that test.

* **recorded**: a public report, named as the source, shows AWS's wording.
* **documented**: AWS's document, named as the source, gives the condition; the wording is ours where it gives none.

| service | call | refused when | code | words | label | source |
|---|---|---|---|---|---|---|
"""


class Player:
    """Plays an example's requests; remembers what they keep."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.kept: dict[str, str] = {}

    def send(self, request: ExampleCall) -> None:
        client = self.aws(MODELS.get(request.service, request.service))
        answer = getattr(client, xform_name(request.operation))(**self.fill(request.parameters))
        for name, path in request.keep.items():
            self.kept[name] = self._at(answer, path)
        self._settle(request)

    def fill(self, value: Any) -> Any:
        """The value with its `$names` filled in."""
        if isinstance(value, str):
            return string.Template(value).substitute(self._names(value)) if "$" in value else value
        if isinstance(value, Mapping):
            return {key: self.fill(one) for key, one in value.items()}
        return [self.fill(one) for one in value] if isinstance(value, list | tuple) else value

    def _names(self, text: str) -> dict[str, str]:
        if "image" in text and "image" not in self.kept:
            self.aws("ecr").create_repository(repositoryName="shop")
            self.kept["image"] = self.aws.push("shop")
        return self.kept

    def _at(self, answer: Any, path: str) -> str:
        for part in path.split("."):
            answer = answer[int(part)] if part.isdigit() else answer[part]
        return str(answer)

    def _settle(self, request: ExampleCall) -> None:
        """Come back when what was begun has ended."""
        if request.service == "sagemaker" and request.operation in ("CreateEndpoint", "UpdateEndpoint"):
            self.aws.settled(self.fill(request.parameters)["EndpointName"])
        names = {"CreateCluster": ("cluster", "name"), "CreateNodegroup": ("nodegroup", "nodegroupName")}
        if request.service == "eks" and request.operation in names:
            kind, key = names[request.operation]
            asked = self.fill(request.parameters)
            who = {key: asked[key], **({"clusterName": asked["clusterName"]} if kind == "nodegroup" else {})}
            describe = getattr(self.aws("eks"), f"describe_{kind}")
            wait_for(lambda: describe(**who)[kind]["status"] != "CREATING")


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("row", ROWS, ids=TITLES)
def test_a_row_is_refused_and_its_like_passes(row: RefusalRow, aws: Any) -> None:
    player, example = Player(aws), row.example
    for request in example.before:
        player.send(request)
    with pytest.raises(ClientError) as caught:
        player.send(ExampleCall(row.service, row.operation, example.refused))
    error = caught.value.response["Error"]
    assert error["Code"] == row.code
    words = "".join(
        re.escape(text) + (".+" if name is not None else "")
        for text, name, _, _ in string.Formatter().parse(row.words)
    )
    assert re.fullmatch(words, error["Message"], re.DOTALL), error["Message"]
    for request in example.between:
        player.send(request)
    player.send(ExampleCall(row.service, row.operation, example.passes or example.refused))


def page() -> str:
    """The page that lists the table."""
    lines = [
        f"| {row.service} | {row.operation} | {row.when} | {row.code} | {row.words} | {row.label} | <{row.source}> |"
        for row in ROWS
    ]
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_lists_every_row(repository: pathlib.Path) -> None:
    path = repository / "docs/architecture/refusals.md"
    if os.environ.get("ECOMDEPLOY_TEST_RECORD"):
        path.write_text(page())
    assert path.read_text() == page()


def test_every_row_says_all_that_it_must() -> None:
    assert len(ROWS) >= 40
    assert max(Counter(TITLES).values()) == 1
    for row in ROWS:
        assert row.source.startswith("https://"), row
        assert row.label == "documented" or "github.com" in row.source or "repost.aws" in row.source, row
        assert "|" not in row.when + row.words, row


def test_a_model_in_no_network_has_ec2_not_made() -> None:
    """moto's EC2 takes half a second to make, and a megabyte of every snapshot."""
    from moto.ec2.models import ec2_backends

    from infra.rehearsal.cloud.addresses import ACCOUNT

    nowhere: Any = SimpleNamespace(region="af-south-1", parameters={"ModelName": "one"})
    rows = [row for row in ROWS if row.operation == "CreateModel" and row.find]
    for row in rows:
        row.check(SimpleNamespace(state={}), nowhere)
    assert len(rows) >= 4
    assert not dict.__contains__(ec2_backends[ACCOUNT], "af-south-1")
