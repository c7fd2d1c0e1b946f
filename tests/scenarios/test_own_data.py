"""A shop's own payments go live by a path: the same rows as the package's give the same model, and stay here."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_tables import MADE
from typed import Terminal

from modelpack.home import Home
from modelpack.progress import Silent
from modelpack.usecases.fraud import FILE, PACKAGE, Fraud
from modelpack.usecases.optional.own_tables import prepare_tables
from modelpack.usecases.packages import fetch

pytestmark = [pytest.mark.slow, pytest.mark.network]


def as_a_shop_has_them(home: Home) -> pd.DataFrame:
    """The package's payments under the names and dates of a shop."""
    with zipfile.ZipFile(fetch(PACKAGE, home, Silent())) as archive:
        rows = pd.read_csv(io.BytesIO(archive.read(FILE)))
    shop = rows.rename(columns={f"V{number}": f"v{number}" for number in range(1, 29)})
    time = pd.Timestamp("2025-09-01") + pd.to_timedelta(shop.Time, unit="s")
    return shop.assign(time=time, amount=shop.Amount, fraud=shop.Class).drop(
        columns=["Time", "Amount", "Class"]
    )


def test_own_payments_go_live_and_stay_here(terminal: Terminal) -> None:
    home = Home(terminal.home, Path(terminal.environment["ECOMDEPLOY_CACHE"]))
    terminal.type("init", "fraud", "shop")
    shop = terminal.into("shop")
    rows = as_a_shop_has_them(home)
    rows.to_parquet(shop.folder / "mine.parquet")
    as_the_package_has_them(shop.folder / "mine.parquet", home)
    shop.edit("^# data: .*", "data: {path: mine.parquet}")
    shop.edit(r"epochs: \d+", "epochs: 1")
    done = shop.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    (told,) = done["record"]["data"]
    assert (told["path"], told["rows"]) == ("mine.parquet", {"payments": len(rows)})
    assert done["record"]["baselines"][0]["ahead"]["low"] > 0
    nothing_left_the_machine(shop, rows, done["image"])
    assert shop.type("up", "--yes", "--json").json["outcome"] == "nothing to do"
    rows.iloc[:-1].to_parquet(shop.folder / "mine.parquet")
    assert shop.type("plan", "--json").json["push_bytes"] is None, "other data is another model"
    rows.rename(columns={"amount": "Amount"}).to_parquet(shop.folder / "mine.parquet")
    refused = shop.type("up", "--yes", "--json", expect=2).json["error"]["what"]
    assert "the column 'amount' is missing" in refused
    assert "is it 'Amount'? rename it" in refused


@pytest.mark.nightly(like="test_own_payments_go_live_and_stay_here")
def test_a_folder_of_orders_goes_live_as_the_page_says(terminal: Terminal) -> None:
    """docs/data.md, typed: parts under the shop's own names, a contract that is broken, one that holds."""
    shop = terminal.into("shop")
    [sales] = MADE["pricing"]().values()
    orders = sales.rename(columns={"time": "ordered_at", "units": "quantity"}).assign(email="a@example.com")
    (shop.folder / "orders" / "2026").mkdir(parents=True)
    orders.iloc[:2000].to_parquet(shop.folder / "orders" / "2025.parquet")
    orders.iloc[2000:].to_parquet(shop.folder / "orders" / "2026" / "part.parquet")
    shop.type("init", "pricing", ".")
    names = "columns: {time: ordered_at, units: quantity}"
    rule = "contract: [{column: quantity, max: MOST}]"
    shop.edit("^# data: .*", f"data: {{from: orders, personal: [email], {names}, {rule}}}")
    shop.edit("MOST", "1")
    refused = shop.type("pack", expect=2).err
    assert refused.count("Error: ecomdeploy.yaml:") == 1
    assert "rows: units is a number, 1 or less" in refused
    assert refused.count(".parquet row ") == 5
    assert "example.com" not in refused
    shop.edit("max: 1", "max: 100000")
    done = shop.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    (told,) = done["record"]["data"]
    assert (told["path"], told["rows"]) == ("orders", {"sales": len(orders)})
    assert told["prepared"]["sales"]["rows"] == len(orders)
    assert {"rule": "units is a number, 100000 or less", "rows": 0, "allowed": 0.0} in told["contract"][
        "sales"
    ]
    assert shop.type("up", "--yes", "--json").json["outcome"] == "nothing to do"
    shop.edit("max: 100000", "max: 200000")
    assert shop.type("plan", "--json").json["push_bytes"] is None, "another rule is asked anew"


def as_the_package_has_them(file: Path, home: Home) -> None:
    """The way in by a path gives the very split that the package gives."""
    own, _ = prepare_tables(Fraud(), file, home, Silent())
    packaged = Fraud().prepare(home, Silent())
    for mine, theirs in ((own.training, packaged.training), (own.test, packaged.test)):
        assert np.array_equal(mine.target, theirs.target)
        for name, array in theirs.inputs.items():
            assert np.array_equal(mine.inputs[name], array), name


def nothing_left_the_machine(shop: Terminal, rows: pd.DataFrame, image: str) -> None:
    """No payment of the shop's is in the image or beside it, by its components, which are as good as unique."""
    from modelpack.image.oci.attachments import attachments
    from modelpack.image.oci.layout import Layout
    from modelpack.pack import SAMPLES

    layout = Layout(Home(shop.home, shop.home / "cache").images)
    digest = image.partition("@")[2]
    packs = [json.loads(one.read_bytes()) for one in (shop.home / "packs").glob("*.json")]
    golden = [one["request"] for pack in packs for one in pack["golden"]]
    beside = [one["request"] for one in json.loads(attachments(layout, digest, SAMPLES)[-1])["requests"]]
    shown = [instance for body in (*golden, *beside) for instance in body["instances"]]
    assert len(shown) > 15
    real = {
        tuple(row)
        for row in np.round(rows[[f"v{one}" for one in range(1, 5)]].to_numpy(np.float32), 4).tolist()
    }
    for instance in shown:
        first: Any = tuple(np.round(np.array(instance["components"][:4], np.float32), 4).tolist())
        assert first not in real
