"""The key `data` of a spec: where own data lies, by which names, what is asked of it; each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from cli.catalogs import known_names
from modelpack.errors import BadInput
from modelpack.inputs.spec import DataRuleSpec, DataSpec
from stacks.reading.load import load, schema

HEAD = "version: 1\nservice: shop\nusecase: pricing\n"


def spec(folder: Path, text: str) -> DataSpec | None:
    (folder / "ecomdeploy.yaml").write_text(HEAD + text)
    return load(folder / "ecomdeploy.yaml", "local", known_names()).data


GOOD = """data:
  from: orders/*.parquet
  columns: {time: ordered_at}
  personal: [email]
  contract:
    - {column: revenue, min: 0, max: 5000, nulls: 0.01}
    - column: time
      fresh: 48h
environments:
  prod: {cloud: local, data: {contract: [{column: units, unique: true}]}}
"""


def test_a_rule_knows_its_line_and_an_environment_has_its_own(tmp_path: Path) -> None:
    data = spec(tmp_path, GOOD)
    assert data is not None
    assert data.place == "orders/*.parquet"
    assert data.contract == (
        DataRuleSpec(column="revenue", min=0, max=5000, nulls=0.01, line=9),
        DataRuleSpec(column="time", fresh=172800, line=10),
    )
    other = load(tmp_path / "ecomdeploy.yaml", "prod", known_names()).data
    assert other is not None
    assert other.contract == (DataRuleSpec(column="units", unique=True, line=13),)
    assert other.columns == {"time": "ordered_at"}
    jsonschema.validate(YAML(typ="safe", pure=True).load(HEAD + GOOD), schema())


WRONG = {
    "{}": "data: names no data",
    "{from: a, path: b}": "data.from: is given together with data.path",
    "{path: a, contract: [{column: a, min: 1}]}": "data.contract: is for data that an engine reads",
    "{path: a, columns: {time: t}}": "data.columns: is for data that an engine reads",
    "{from: a, unreadable: 0.01}": "data.unreadable: is for data.path",
    "{path: a, tables: {sales: b}}": "data.tables: is for data that an engine reads",
    "{from: a, tables: {sales: b}}": "data.tables: names tables of a database",
    "{from: 'gs://bucket/orders'}": "data.from: is at no place that is read",
    "{from: 'postgresql://[x/shop'}": "data.from: is no address",
    "{from: 'postgresql://me:hush@db/shop'}": "data.from: has a password in it",
    "{from: 'postgres://me:@db/shop'}": "data.from: has a password in it",
    "{from: 'postgresql://db/shop?password=hush'}": "data.from: has a password in it",
    "{from: 'postgresql://db/shop?sslpassword=hush'}": "data.from: has a password in it",
    "{from: a, contract: [{column: a}]}": r"data.contract\[0\]: asks nothing of the column",
    "{from: a, contract: [{min: 1}]}": r"data.contract\[0\].column: is missing",
    "{from: a, contract: [{column: a, min: 1, line: 3}]}": r"data.contract\[0\].line: unknown key \(known: column, ",
    "{from: a, contract: [{column: a, fersh: 3h}]}": r"unknown key \(did you mean fresh\?\)",
    "{from: a, contract: [{column: a, fresh: 3x}]}": r"data.contract\[0\].fresh: expected a time like 90s, 5m or 48h",
    "{from: a, contract: [{column: a, min: 3, max: 2}]}": r"data.contract\[0\].min: 3 is above max: 2",
    "{from: a, contract: [{column: a, type: time, min: 3}]}": "min and max are of numbers",
    "{from: a, contract: [{column: a, nulls: 2}]}": r"data.contract\[0\].nulls: must be at most 1",
    "{from: a, contract: {column: a}}": "data.contract: expected a list",
    '{from: "a\\0"}': "data.from: no file can have such a name",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"ecomdeploy.yaml:4: .*{WRONG[text]}"):
        spec(tmp_path, f"data: {text}\n")
