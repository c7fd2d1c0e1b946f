"""A user's own data: what it must hold, every problem at once, the same splits, and that no row of it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import own_tables
import pandas as pd
import pytest
from own_tables import MADE, Tables, written

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.measure import must_win
from modelpack.gate.reference import Reference
from modelpack.gate.trial import Trials
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import DataSpec, GateSpec, ModelSpec, PackSpec, TrainSpec
from modelpack.passes.base import passes
from modelpack.progress import Silent
from modelpack.usecases.base import UseCase, beats, usecases
from modelpack.usecases.optional.own_tables import own_data_of, prepare_tables
from modelpack.usecases.own_data.reading import read
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.tabular.frame import Split

LEARNING = ("marketing", "marketing-uplift", "pricing")
"""Fraud goes through a whole `up` (tests/scenarios); the others learn as they do on the package's data."""


def prepared(name: str, folder: Path, tables: Tables, suffix: str = "parquet") -> tuple[Any, Any, Any]:
    """The use case, its data from the user's tables, and the row counts."""
    usecase: UseCase[Any] = usecases().get(name)
    path = written(tables, folder / "mine", suffix)
    return usecase, *prepare_tables(usecase, path, Home(folder / "home", folder / "cache"), Silent())


@pytest.mark.parametrize("name", [name for name in MADE if name != "search"])
def test_own_tables_are_split_by_time_and_show_no_row(name: str, tmp_path: Path) -> None:
    tables = MADE[name]()
    usecase, data, rows = prepared(name, tmp_path, tables)
    assert rows.rows == {name: len(table) for name, table in tables.items()}
    shown = [one for body in usecase.golden(data) for one in body["instances"]]
    shown += [one for body in usecase.samples(data).requests for one in body["request"]["instances"]]
    assert len(shown) >= 12
    if isinstance(data, Split):
        assert len(data.training) > 0 < len(data.test)
        real = {row_text({k: v[i] for k, v in data.test.inputs.items()}) for i in range(len(data.test))}
        assert not real & {row_text(one) for one in shown}
    else:
        assert data.week[data.training].max() < data.week[data.held_out].min()
        assert {one["household"] for one in shown} == {0}


@pytest.mark.parametrize("name", ["fraud", "marketing"])
def test_csv_and_parquet_are_the_same_data(name: str, tmp_path: Path) -> None:
    tables = MADE[name]()
    _, first, _ = prepared(name, tmp_path / "parquet", tables)
    _, second, _ = prepared(name, tmp_path / "csv", tables, "csv")
    assert np.array_equal(first.test.target, second.test.target)
    for column, array in first.test.inputs.items():
        assert np.allclose(array, second.test.inputs[column], rtol=1e-6), column


@pytest.mark.parametrize("name", LEARNING)
def test_own_data_trains_a_model_that_beats_the_rules_and_serves_as_it_answers(
    name: str, tmp_path: Path
) -> None:
    usecase, data, _ = prepared(name, tmp_path, MADE[name]())
    path = tmp_path / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
    reference = Variant(TORCH, path)
    trials = Trials(usecase, data, reference, tmp_path, Silent())
    evaluation = trials.evaluation(reference)
    for rule in usecase.baselines(data):
        assert not rule.must_beat or beats(evaluation, rule.evaluation).low > 0, rule.name
    trials.agree(trials.make(passes().get("onnx"), reference))


class Heard(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_data_with_nothing_to_learn_is_refused_until_the_spec_says_otherwise(tmp_path: Path) -> None:
    [table] = MADE["marketing-uplift"]().values()
    aimless = table.assign(visited=np.random.default_rng(0).integers(0, 2, len(table)))
    usecase, data, _ = prepared("marketing-uplift", tmp_path, {"customers": aimless})
    path = tmp_path / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
    reference = Reference(Trials(usecase, data, Variant(TORCH, path), tmp_path, Silent()), "")
    rules, heard = usecase.baselines(data), Heard()
    inputs = resolve(request(tmp_path, "marketing-uplift", "mine"))
    with pytest.raises(EcomdeployError, match=r"nothing is packed:\n  Qini .* by by lot") as caught:
        must_win(inputs, reference, rules, heard)
    assert "use it, or give more data; pack: {gate: {must_beat: false}}" in caught.value.hint
    assert len(heard.notes) == len(rules)
    packed = replace(inputs.request, pack=PackSpec(gate=GateSpec(must_beat=False)))
    must_win(resolve(packed), reference, rules, heard)
    assert "pack.gate.must_beat is false" in heard.notes[-1]


def row_text(row: Any) -> str:
    return json.dumps({key: np.asarray(row[key], np.float64).round(4).tolist() for key in sorted(row)})


def test_shipments_keep_their_weekday_and_take_weather(tmp_path: Path) -> None:
    tables = MADE["logistics"]()
    _, data, _ = prepared("logistics", tmp_path, tables)
    last = tables["shipments"].planned.max()
    assert data.test.inputs["weekday"][-1] == last.weekday()
    assert len(np.unique(data.test.inputs["wind_speed"])) > 20


def test_a_strange_order_of_the_file_changes_nothing(tmp_path: Path) -> None:
    for name, column in (("fraud", "amount"), ("marketing-uplift", "history")):
        tables = MADE[name]()
        mixed = {table: rows.sample(frac=1, random_state=0) for table, rows in tables.items()}
        _, data, _ = prepared(name, tmp_path / name, tables)
        _, again, _ = prepared(name, tmp_path / name, mixed)
        assert np.array_equal(data.test.inputs[column], again.test.inputs[column])


def test_search_takes_a_catalogue_and_queries(tmp_path: Path) -> None:
    from modelpack.usecases.search import own

    items = pd.DataFrame({"code": [f"C{n}" for n in range(60)], "name": [f"red lamp {n}" for n in range(60)]})
    asked = pd.DataFrame(
        {"query": [f"lamp no {n}" for n in range(150)], "code": [f"C{n % 60}" for n in range(150)]}
    )
    items.to_csv(tmp_path / "catalogue.csv", index=False)
    asked.to_parquet(tmp_path / "queries.parquet")
    usecase = usecases().get("search")
    shop = own.load(read(tmp_path, wanted("search")), b"", tmp_path)
    assert shop.codes[int(shop.wanted[61])] == asked.code[61]
    typed = {one["query"] for body in usecase.golden(shop) for one in body["instances"]}
    assert not typed & set(shop.queries)


def payments() -> pd.DataFrame:
    return MADE["fraud"]()["payments"]


def wanted(name: str) -> OwnData:
    found = own_data_of(usecases().get(name))
    assert found is not None
    return found


def complaints(name: str, path: Path) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read(path, wanted(name))
    return [str(one) for one in caught.value.problems]


def test_every_problem_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    table = payments()[:2500].astype({"amount": str, "fraud": int})
    table.loc[7, "amount"] = "12,50"
    table.loc[8, "amount"] = "-3"
    table.loc[11, "fraud"] = 2
    table = table.rename(columns={"time": "timestamp"})
    table["v1"] = table.v1.astype(str).mask(table.index == 20, "")
    table.to_csv(tmp_path / "mine.csv", index=False)
    told = complaints("fraud", tmp_path / "mine.csv")
    assert len(told) == 4
    assert "the column 'time' is missing" in told[0]
    assert "is it 'timestamp'? rename it" in told[0]
    assert "mine.csv:9: amount is '12,50' (2 rows are wrong); expected a number, 0 or more" in told[1]
    assert "mine.csv:13: fraud is '2'; expected 0 or 1" in told[2]
    assert "mine.csv:22: v1 is nothing" in told[3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read as csv"),
        ("time,amount,fraud\n", "it has no rows"),
        ("time;amount;fraud\n2026-01-01;3;0\n", "its columns are parted by ';'; commas are wanted"),
        ("time,amount,fraud\n2026-01-01,3,0\n", "1 rows; at least 2,000 are needed"),
        ("time,amount,fraud\nyesterday,3,0\n", "time is 'yesterday'; expected a date or a moment"),
        ("time,amount,fraud\n20260101,nan,0\n", "amount is 'nan'"),
        ("time,amount,fraud\n2026-01-01,3,0.5\n", "fraud is '0.5'; expected 0 or 1"),
    ],
)
def test_a_table_that_is_not_one(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "mine.csv").write_text(content)
    assert any(words in one for one in complaints("fraud", tmp_path / "mine.csv"))


def test_a_parquet_file_that_is_none_and_a_missing_table(tmp_path: Path) -> None:
    (tmp_path / "catalogue.parquet").write_bytes(b"PAR1 but not really")
    told = complaints("search", tmp_path)
    assert "catalogue.parquet: it cannot be read as parquet" in told[0]
    assert "the table 'queries' is missing (queries.parquet or queries.csv)" in told[1]


def test_codes_of_other_letters_are_told_with_their_row(tmp_path: Path) -> None:
    tables = own_tables.logistics(days=100)
    tables["shipments"].loc[6, "depot"] = "New York"
    written(tables, tmp_path, "csv")
    told = complaints("logistics", tmp_path)
    assert "shipments.csv:8: depot is 'New York'; expected one to three digits and capitals" in told[0]


def test_a_file_that_is_not_in_utf_8_or_has_columns_twice(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes("time,amount,fraud,Größe\n".encode("latin-1"))
    assert "it is not in UTF-8 (save it as CSV in UTF-8, or as Parquet)" in complaints("fraud", file)[0]
    file.write_text("time,amount,amount,fraud\n2026-01-01,1,2,0\n")
    assert "the column 'amount' is there twice (rename one of them)" in complaints("fraud", file)[0]
    payments()[:2500].to_csv(file, index=False, encoding="utf-8-sig")
    assert len(read(file, wanted("fraud"))["payments"]) == 2500


def test_files_of_a_table_have_the_same_columns(tmp_path: Path) -> None:
    payments()[:1500].to_csv(tmp_path / "first.csv", index=False)
    payments()[1500:3000].drop(columns="v2").to_parquet(tmp_path / "second.parquet")
    [told] = complaints("fraud", tmp_path)
    assert "second.parquet: the column 'v2' is missing here and there in first.csv" in told


def test_large_ids_stay_what_they_are_or_are_refused(tmp_path: Path) -> None:
    large = 2**62 + 1
    table = MADE["recommendation"]()["purchases"].assign(customer=large)
    for suffix in ("csv", "parquet"):
        written({"purchases": table}, tmp_path / suffix, suffix)
        found = read(tmp_path / suffix, wanted("recommendation"))["purchases"]
        assert set(found.customer) == {large}
    table.assign(customer=str(2**70)).to_csv(tmp_path / "mine.csv", index=False)
    assert f"mine.csv:2: customer is '{2**70}'" in complaints("recommendation", tmp_path / "mine.csv")[0]


def test_numbers_are_no_dates(tmp_path: Path) -> None:
    payments()[:2500].assign(time=range(2500)).to_parquet(tmp_path / "mine.parquet")
    assert "mine.parquet row 1: time is '0'" in complaints("fraud", tmp_path / "mine.parquet")[0]


def test_too_little_is_refused_with_the_figure(tmp_path: Path) -> None:
    table = payments()
    table.loc[table.index > 2000, "fraud"] = 0
    few: list[tuple[str, Tables, str]] = [
        ("fraud", {"payments": table}, "0 frauds to choose by; at least 10"),
        ("fraud", {"payments": payments().assign(fraud=1)}, "0 good payments to train on; at least 10"),
        ("pricing", own_tables.pricing(weeks=40), "40 weeks of sales; at least 52"),
        (
            "pricing",
            own_tables.pricing(products=18, weeks=60),
            "18 products sold in 30 early weeks; at least 20",
        ),
        ("inventory", own_tables.inventory(weeks=60), "weeks of orders; at least 105"),
        ("logistics", own_tables.logistics(days=200), "200 days of shipments; at least 357"),
        ("recommendation", own_tables.recommendation(weeks=5), "5 weeks of purchases; at least 8"),
        ("recommendation", own_tables.recommendation(customers=1, weeks=200), "bought 20 times"),
        ("marketing", own_tables.marketing(days=300), "days of purchases; at least 365"),
    ]
    for place, (name, tables, words) in enumerate(few):
        with pytest.raises(BadInput, match=words):
            prepared(name, tmp_path / str(place), tables)


def test_campaigns_of_another_year_are_told_with_the_days(tmp_path: Path) -> None:
    tables = MADE["marketing"]()
    late = {name: tables["campaigns"][name] + pd.Timedelta(days=500) for name in ("start", "end")}
    with pytest.raises(BadInput, match=r"none to train on: none that was over on 20.* began from 20"):
        prepared("marketing", tmp_path, {**tables, "campaigns": tables["campaigns"].assign(**late)})


def test_tables_that_do_not_fit_each_other_are_told_with_file_and_row(tmp_path: Path) -> None:
    tables = MADE["marketing"]()
    tables["sent"].loc[[4, 9], "campaign"] = "autumn"
    tables["redeemed"].loc[2, "campaign"] = "winter"
    tables["people"].loc[5, "customer"] = tables["people"].customer[0]
    written(tables, tmp_path, "csv")
    told = complaints("marketing", tmp_path)
    assert len(told) == 3
    assert "people.csv:7: customer is 'c0' a second time; each is wanted once" in told[0]
    assert "sent.csv:6: campaign is 'autumn' (2 rows are wrong); campaigns has no such campaign" in told[1]
    assert "redeemed.csv:4: campaign is 'winter'; campaigns has no such campaign" in told[2]
    tables["campaigns"].loc[3, "end"] = pd.Timestamp("2020-01-01")
    written(tables, tmp_path, "csv")
    assert (
        "campaigns.csv:5: end is 2020-01-01 00:00:00, before start, which is"
        in complaints("marketing", tmp_path)[0]
    )


def test_uplift_needs_a_lot_and_both_groups(tmp_path: Path) -> None:
    table = MADE["marketing-uplift"]()["customers"]
    chosen = table.assign(mailed=(table.history > table.history.median()).astype(int))
    with pytest.raises(BadInput, match=r"no lot chose whom to mail: history is .* where mailed is 1"):
        prepared("marketing-uplift", tmp_path / "chosen", {"customers": chosen})
    with pytest.raises(BadInput, match="8,000 mailed and 0 left alone; both are needed"):
        prepared("marketing-uplift", tmp_path / "all", {"customers": table.assign(mailed=1)})
    with pytest.raises(BadInput, match="0 customers mailed to train on who visited; at least 30"):
        prepared("marketing-uplift", tmp_path / "none", {"customers": table.assign(visited=0)})


def request(project: Path, usecase: str, path: str) -> PackRequest:
    return PackRequest(usecase, ModelSpec(), PackSpec(), "ml.c7i.xlarge", project, DataSpec(path=path))


def test_the_data_names_the_model_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    payments()[:2500].to_csv(tmp_path / "a" / "mine.csv", index=False)
    payments()[:2500].to_csv(tmp_path / "b" / "mine.csv", index=False)
    first = resolve(request(tmp_path / "a", "fraud", "mine.csv"))
    same = resolve(request(tmp_path / "b", "fraud", "mine.csv"))
    assert first.training_digest == same.training_digest
    assert first.verdict_digest == same.verdict_digest
    text = (tmp_path / "b" / "mine.csv").read_text()
    (tmp_path / "b" / "mine.csv").write_text(text.replace(",0,", ",1,", 1))
    changed = resolve(request(tmp_path / "b", "fraud", "mine.csv"))
    assert changed.training_digest != first.training_digest
    assert changed.verdict_digest != first.verdict_digest
    packaged = PackRequest("fraud", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path)
    assert resolve(packaged).training_digest != first.training_digest
    assert first.packages == ()


@pytest.mark.parametrize(
    ("usecase", "path", "words"),
    [
        ("fraud", "gone.csv", "there is no such data"),
        ("fraud", "mine.xlsx", "data in a .xlsx file is not read"),
        ("fraud", "empty", "the folder holds no .parquet or .csv file"),
        ("chat", "gone.csv", "takes no own data yet"),
    ],
)
def test_data_that_is_not_there_is_refused_before_anything_runs(
    tmp_path: Path, usecase: str, path: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.xlsx").write_bytes(b"PK")
    with pytest.raises(BadInput, match=words):
        resolve(request(tmp_path, usecase, path))


def test_a_link_or_a_part_of_a_folder_counts(tmp_path: Path) -> None:
    """A table in several files is the same rows."""
    table = payments()[:2500]
    (tmp_path / "parts").mkdir()
    table[:1000].to_csv(tmp_path / "parts" / "2026-01.csv", index=False)
    table[1000:].to_parquet(tmp_path / "parts" / "2026-02.parquet")
    whole = read(tmp_path / "parts", wanted("fraud"))["payments"]
    assert len(whole) == len(table)
    assert np.allclose(whole.amount, table.amount)
