"""Made tables of a shop's own for each use case: small, the same each time, with something in them to learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]
FIRST = pd.Timestamp("2025-01-06")


def moments(day: object, minute: object = 0) -> pd.Series:
    """Days (and minutes of them) since FIRST as moments."""
    days = pd.to_timedelta(np.asarray(day), unit="D")
    return pd.Series(FIRST + days + pd.to_timedelta(np.asarray(minute), unit="min"))


def fraud(rows: int = 6000) -> Tables:
    """Of large payments with a high v1 most are frauds, and of those with a low v2 as many: no straight line tells."""
    draw = np.random.default_rng(1)
    amount, first, second = draw.exponential(50, rows).round(2), *draw.normal(size=(2, rows))
    chance = np.where((amount > 60) & (first * second > 0.8), 0.8, 0.003)
    time = moments(0, np.arange(rows) * 1.6)
    is_fraud = (draw.random(rows) < chance).astype(int)
    return {
        "payments": pd.DataFrame(
            {"time": time, "amount": amount, "fraud": is_fraud, "v1": first, "v2": second}
        )
    }


def recommendation(customers: int = 160, weeks: int = 30) -> Tables:
    """Everybody has ten products that they buy again and again, and buys a little of what is popular."""
    draw = np.random.default_rng(2)
    popular = 1 / np.arange(1, 301) ** 0.7
    lines = []
    for customer in range(1, customers + 1):
        own = draw.choice(300, 10, replace=False)
        for week in range(weeks):
            chosen = {*draw.choice(own, 5, replace=False), *draw.choice(300, 3, p=popular / popular.sum())}
            lines += [
                (customer, 1000 + product, 7 * week + int(draw.integers(7))) for product in sorted(chosen)
            ]
    table = pd.DataFrame(lines, columns=["customer", "product", "day"])
    named = "Product " + table["product"].astype(str)
    return {"purchases": table.assign(time=moments(table.day), name=named).drop(columns="day")}


def pricing(products: int = 60, weeks: int = 60) -> Tables:
    """A display doubles what sells, a place in the mailer adds half, and dearer weeks sell less."""
    draw = np.random.default_rng(3)
    product, week = (one.ravel() for one in np.meshgrid(np.arange(1, products + 1), np.arange(weeks)))
    usual, price = draw.gamma(2, 15, products)[product - 1], draw.uniform(1, 9, products)[product - 1]
    display, mailer = ((draw.random(product.size) < share).astype(float) for share in (0.2, 0.2))
    paid = price * draw.choice([0.8, 1.0, 1.1], product.size, p=[0.2, 0.6, 0.2])
    units = draw.poisson(usual * (1 + display) * (1 + 0.5 * mailer) * (paid / price) ** -2)
    return {
        "sales": pd.DataFrame(
            {
                "time": moments(week * 7 + 6),
                "product": product,
                "units": units,
                "revenue": (units * paid).round(2),
                "department": product % 5,
                "display": display,
                "mailer": mailer,
                "name": [f"Product {one}" for one in product],
            }
        )
    }


def inventory(products: int = 60, weeks: int = 112) -> Tables:
    """Orders on five days a week, on two in every seventh week, and many more before Christmas."""
    draw = np.random.default_rng(4)
    usual = draw.gamma(2, 3, products)
    lines = []
    for week in range(weeks):
        season = 1 + 1.5 * np.exp(-(((week % 52 - 46) / 4) ** 2))
        for day in range(2 if week % 7 == 3 else 5):
            units = draw.poisson(usual * season * draw.choice([0.3, 1, 1.5], products))
            lines += [(7 * week + day, one, units[one]) for one in np.flatnonzero(units)]
    table = pd.DataFrame(lines, columns=["day", "product", "units"])
    return {
        "orders": pd.DataFrame(
            {
                "order": "A" + table.day.astype(str),
                "product": "P-" + table["product"].astype(str),
                "time": moments(table.day, 700),
                "units": table.units,
                "price": 1.0 + table["product"] % 7,
            }
        )
    }


def logistics(days: int = 380, each: int = 60) -> Tables:
    """A carrier is late in wind and on bad days, another in the evening."""
    draw = np.random.default_rng(5)
    rows = days * each
    day, minute = np.repeat(np.arange(days), each), draw.integers(360, 1320, rows)
    depot = draw.choice(["NYC", "LA1"], rows)
    carrier = draw.choice(["UPS", "DHL", "GLS"], rows, p=[0.4, 0.3, 0.3])
    wind = np.abs(draw.normal(10, 8, (2, days + 1)).repeat(24, axis=1))
    blows = wind[(depot == "LA1").astype(int), day * 24]
    bad = np.convolve(draw.normal(size=days + 2), np.ones(3), "valid")[day]
    late = 12 * bad + (carrier == "UPS") * blows + (carrier == "DHL") * (minute - 840) / 20
    hours = np.arange((days + 1) * 24)
    weather = [
        pd.DataFrame({"depot": name, "time": moments(0, hours * 60), "wind_speed": wind[place].round(1)})
        for place, name in enumerate(("NYC", "LA1"))
    ]
    return {
        "shipments": pd.DataFrame(
            {
                "planned": moments(day, minute),
                "depot": depot,
                "carrier": carrier,
                "destination": draw.choice(["BOS", "SEA", "MIA"], rows),
                "late_minutes": (late - 5 + draw.normal(0, 8, rows)).round(),
            }
        ),
        "weather": pd.concat(weather),
    }


MEANT = {
    "sofa": "couch", "wardrobe": "closet", "rug": "carpet", "lamp": "light", "mug": "cup", "cushion": "pillow",
    "mirror": "looking glass", "curtain": "drape", "stool": "small seat", "duvet": "quilt",
}  # fmt: skip
COLOURS = {
    "crimson": "red",
    "navy": "dark blue",
    "ivory": "white",
    "emerald": "green",
    "charcoal": "dark grey",
}
KINDS = {"oak": "wooden", "leather": "made of leather", "linen": "of linen", "steel": "metal"}


def search() -> Tables:
    """Furniture, asked for in other words."""
    items = [
        (f"{colour} {kind} {item}", f"{COLOURS[colour]} {MEANT[item]} {KINDS[kind]}")
        for colour in COLOURS
        for kind in KINDS
        for item in MEANT
    ]
    codes = [f"C{place:03}" for place in range(len(items))]
    return {
        "catalogue": pd.DataFrame({"code": codes, "name": [name for name, _ in items]}),
        "queries": pd.DataFrame({"query": [query for _, query in items], "code": codes}),
    }


def marketing(customers: int = 700, days: int = 400) -> Tables:
    """Who redeemed before, and buys what the coupons are for, redeems; some never do."""
    draw = np.random.default_rng(7)
    keen, favourite = draw.beta(0.6, 1.6, customers), draw.integers(0, 20, customers)
    who, day = np.repeat(np.arange(customers), 90), draw.integers(0, days, customers * 90)
    product = np.where(draw.random(who.size) < 0.5, favourite[who], draw.integers(0, 20, who.size))
    spent, price_off = draw.gamma(2, 3, who.size), draw.random(who.size) < 0.2 * keen[who]
    start = np.arange(20, days - 40, 15)
    about = draw.integers(0, 20, (len(start), 3))
    sent = [(one, place) for place in range(len(start)) for one in draw.choice(customers, 250, replace=False)]
    chance = [0.8 * keen[one] * (1.2 if favourite[one] in about[place] else 0.5) for one, place in sent]
    redeemed = [pair for pair, share in zip(sent, chance, strict=True) if draw.random() < share]
    names = [f"c{one}" for one in range(customers)]
    campaigns = [f"spring {place}" for place in range(len(start))]
    return {
        "purchases": pd.DataFrame(
            {
                "customer": [names[one] for one in who],
                "product": product,
                "time": moments(day, 600),
                "spent": spent.round(2),
                "coupon": np.where(price_off, 0.5, 0.0),
                "own_brand": product % 2,
            }
        ),
        "campaigns": pd.DataFrame(
            {
                "campaign": campaigns,
                "start": moments(start).dt.date,
                "end": moments(start + 20).dt.date,
                "type": np.where(np.arange(len(start)) % 3, "mail", "leaflet"),
            }
        ),
        "sent": pd.DataFrame(
            [(names[one], campaigns[place]) for one, place in sent], columns=["customer", "campaign"]
        ),
        "redeemed": pd.DataFrame(
            {
                "customer": [names[one] for one, _ in redeemed],
                "campaign": [campaigns[place] for _, place in redeemed],
                "time": moments(start[[place for _, place in redeemed]] + 3, 600),
            }
        ),
        "coupons": pd.DataFrame(
            {"campaign": np.repeat(campaigns, 3), "product": about.ravel()}
        ).drop_duplicates(),
        "people": pd.DataFrame({"customer": names[::3], "age": draw.integers(20, 80, len(names[::3]))}),
    }


def marketing_uplift(rows: int = 8000) -> Tables:
    """An e-mail moves those who bought its wares before, the more the fresher they are."""
    draw = np.random.default_rng(8)
    mailed, womens, mens, web = draw.integers(0, 2, (4, rows))
    recency = draw.integers(1, 13, rows)
    moved = mailed * (0.12 * womens + 0.3 * (recency < 4))
    return {
        "customers": pd.DataFrame(
            {
                "mailed": mailed,
                "visited": (draw.random(rows) < 0.1 + moved).astype(int),
                "womens": womens,
                "mens": mens,
                "recency": recency,
                "history": draw.gamma(2, 100, rows).round(2),
                "by_web": web,
            }
        )
    }


def written(tables: Mapping[str, pd.DataFrame], folder: Path, suffix: str = "parquet") -> Path:
    """The tables in a folder, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        file = folder / f"{name}.{suffix}"
        table.to_parquet(file) if suffix == "parquet" else table.to_csv(file, index=False)
    return folder


MADE: dict[str, Callable[[], Tables]] = {
    "fraud": fraud,
    "inventory": inventory,
    "logistics": logistics,
    "marketing": marketing,
    "marketing-uplift": marketing_uplift,
    "pricing": pricing,
    "recommendation": recommendation,
    "search": search,
}
