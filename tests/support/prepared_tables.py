"""What the preparation of each use case must give, by pandas alone: the judge of the same by an engine, row for row.

`STIRRED` are tables of a shop with what makes preparation hard: repeated and late lines, strangers, other years,
several words for a product.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import own_tables
import pandas as pd
from own_tables import Tables

from modelpack.inputs.data.reading import SourceTables, read_source
from modelpack.inputs.data_places import source_of
from modelpack.inputs.spec import DataSpec
from modelpack.progress import Progress
from modelpack.usecases.own_data.schema import OwnData


def read_here(
    usecase: object,
    wanted: OwnData,
    folder: Path,
    data: DataSpec,
    progress: Progress,
    now: datetime | None = None,
) -> SourceTables:
    """The tables of `data.from`, relative to a folder."""
    return read_source(usecase, wanted, source_of(folder, data, wanted), data, progress, now)


def mixed(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows in another order."""
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def payments() -> Tables:
    """Payments, a tenth of which is there twice."""
    [table] = own_tables.fraud(3000).values()
    return {"payments": mixed(pd.concat([table, table[::10]]))}


def orders() -> Tables:
    """Orders of more weeks than count, with lines that sold nothing, lines repeated, products seldom ordered, and words
    of which two may be as frequent."""
    draw = np.random.default_rng(11)
    [table] = own_tables.inventory(products=30, weeks=110).values()
    once = table.drop_duplicates("product").assign(product=lambda rows: rows["product"] + "-old")
    table = pd.concat([table, once, table[::7], table[::50].assign(units=0), table[::60].assign(price=0.0)])
    return {
        "orders": mixed(table).assign(
            price=lambda rows: (rows.price * draw.choice([1, 0.9, 0.333], len(rows))).round(3),
            name=lambda rows: "Lamp " + rows["product"] + draw.choice([" a", " B", " ä"], len(rows)),
        )
    }


def shipments() -> Tables:
    """Shipments of five hundred days, and the weather."""
    tables = own_tables.logistics(days=500, each=30)
    return {name: mixed(table) for name, table in tables.items()}


def campaigns() -> Tables:
    """Campaigns of which a part of those who buy, and who bought last, knows nothing."""
    tables = own_tables.marketing(customers=300, days=450)
    for name in ("purchases", "coupons"):
        tables[name] = tables[name].assign(product=tables[name]["product"].astype(str))
    bought = tables["purchases"]
    strangers = bought[::9].assign(customer="x" + bought.customer[::9])
    latest = bought[:3].assign(customer="nobody", time=bought.time.max() + pd.Timedelta(days=2))
    return {**tables, "purchases": mixed(pd.concat([bought, strangers, latest]))}


def sales() -> Tables:
    """The made sales of each week in up to three lines on days of that week."""
    draw = np.random.default_rng(0)
    [weekly] = own_tables.pricing().values()
    lines = []
    for _ in range(3):
        share = weekly.assign(units=weekly.units // 3, revenue=(weekly.revenue / 3).round(2))
        days = pd.to_timedelta(draw.integers(0, 7, len(share)), unit="D")
        lines.append(share.assign(time=share.time - days))
    last = weekly[weekly.time == weekly.time.max()].assign(units=1, revenue=1.25)
    return {"sales": mixed(pd.concat([*lines, last]))}


def purchases(baskets: bool = True) -> Tables:
    """Purchases in baskets by name, where a product may go by two."""
    [table] = own_tables.recommendation(customers=160, weeks=30).values()
    named = table.assign(name=table.name.mask(table.index % 3 == 0, table.name.str.lower()))
    by_day = "B" + (table.time - table.time.min()).dt.days.astype(str) + "/" + table.customer.astype(str)
    return {"purchases": mixed(named.assign(basket=by_day) if baskets else named)}


STIRRED: dict[str, Callable[[], Tables]] = {
    "fraud": payments,
    "inventory": orders,
    "logistics": shipments,
    "marketing": campaigns,
    "pricing": sales,
    "recommendation": purchases,
}


def exact(amounts: pd.Series) -> float:
    """The sum of what the amounts say in decimals."""
    return float(sum((Decimal(str(round(one, 6))) for one in amounts), Decimal(0)))


def weeks_of_orders(tables: Tables) -> Tables:
    """By product and week, of products ordered in 20 of the 52 weeks before the 73rd of the last 105."""
    table = tables["orders"]
    day = table.time.dt.normalize()
    table = table.assign(day=day, week=104 - (day.max() - day).dt.days // 7, paid=table.units * table.price)
    good = table[(table.week >= 0) & (table.units > 0) & (table.price > 0)]
    weeks = table.groupby("week")
    shop = pd.DataFrame({"first": weeks.day.min(), "last": weeks.day.max()})
    shop["days"] = good.groupby("week").day.nunique().reindex(shop.index, fill_value=0)
    shop["units"] = good.groupby("week").units.apply(exact).reindex(shop.index, fill_value=0.0)
    often = good[good.week.between(73 - 52, 72)].groupby("product").week.nunique()
    good = good[good["product"].isin(often.index[often >= 20])]
    both = good.groupby(["product", "week"])
    found = pd.DataFrame({"units": both.units.apply(exact), "paid": both.paid.apply(exact)})
    firsts = good.groupby(["product", "order"]).week.min().reset_index()
    found["orders"] = firsts.groupby(["product", "week"]).size()
    names = good.groupby("product").name.agg(lambda words: words.mode().iloc[0])
    return {"orders": found.reset_index(), "shop": shop.reset_index(), "names": names.reset_index()}


def weeks_of_sales(tables: Tables) -> Tables:
    """By product and week back from the last day."""
    table = tables["sales"]
    table = table.assign(age=(table.time.max() - table.time).dt.days // 7)
    both = table.groupby(["product", "age"])
    found = pd.DataFrame(
        {
            "time": both.time.max(),
            "units": both.units.apply(exact),
            "revenue": both.revenue.apply(exact),
            **{name: both[name].min() for name in ("department", "name")},
            **{name: both[name].max() for name in ("display", "mailer")},
        }
    )
    return {"sales": found.reset_index().drop(columns="age")}


def year_of_purchases(tables: Tables) -> Tables:
    """What those whom a campaign was sent to bought in the last 365 days."""
    table = tables["purchases"]
    age = (table.time.max().normalize() - table.time.dt.normalize()).dt.days
    made = pd.DataFrame({"first": [table.time.min()], "last": [table.time.max()]})
    kept = table[(age < 365) & table.customer.isin(tables["sent"].customer)]
    return {**tables, "purchases": kept, "made": made}


def year_of_shipments(tables: Tables) -> Tables:
    """The last 365 days."""
    day = tables["shipments"].planned.dt.normalize()
    return {**tables, "shipments": tables["shipments"][(day.max() - day).dt.days < 365]}


def numbered_baskets(tables: Tables) -> Tables:
    """Baskets by their place among all, and the least words of each product."""
    table = tables["purchases"]
    basket = table.basket if "basket" in table else table.time.dt.normalize()
    names = table.groupby("product").name.min().reset_index()
    return {
        "purchases": table.assign(basket=basket.rank(method="dense").astype(int) - 1).drop(columns="name"),
        "products": names,
    }


def each_once(tables: Tables) -> Tables:
    """Each row once."""
    return {name: table.drop_duplicates() for name, table in tables.items()}


JUDGES: dict[str, Callable[[Tables], Tables]] = {
    "fraud": each_once,
    "inventory": weeks_of_orders,
    "logistics": year_of_shipments,
    "marketing": year_of_purchases,
    "pricing": weeks_of_sales,
    "recommendation": numbered_baskets,
}


def assert_same_rows(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Every row of one is in the other, as often, with the very values."""
    assert sorted(found.columns) == sorted(wanted.columns)
    columns = list(found.columns)
    rows = [
        table[columns]
        .astype({name: "datetime64[us]" for name in columns if is_time(table[name])})
        .sort_values(columns, kind="stable", ignore_index=True)
        for table in (found, wanted)
    ]
    pd.testing.assert_frame_equal(*rows, check_dtype=False, check_exact=True)


def is_time(column: pd.Series) -> bool:
    """Whether a column holds times or days."""
    return pd.api.types.is_datetime64_any_dtype(column) or hasattr(column.iloc[0], "isoformat")
