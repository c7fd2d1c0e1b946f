"""A shop's own catalogue, and what its shoppers typed for which product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelpack.usecases.own_data.reading import TooLittle, enough
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.search.data import ENCODER, ProductCatalogue

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

FEWEST_ITEMS, FEWEST_QUERIES = 50, 100

OWN = OwnData(
    (
        Table(
            "catalogue",
            "one line for each product",
            (
                Field("code", "text", "the product's number, which is answered", identifies=True),
                Field("name", "text", "what it is called"),
            ),
            fewest=FEWEST_ITEMS,
        ),
        Table(
            "queries",
            "texts that were typed, each with the product that was meant; they only measure",
            (
                Field("query", "text", "what was typed"),
                Field("code", "text", "the product that was meant", identifies=True),
            ),
            fewest=FEWEST_QUERIES,
        ),
    ),
    ("A folder with catalogue.parquet (or .csv) and queries.parquet (or .csv).",),
    "the shop's own data, read on the machine that packed; the catalogue is what is answered, so its codes are in the "
    "image and its names beside it; no query is",
    split=(
        "no training: the encoder is taken as published. Measured on the shop's own queries; intervals resample items."
    ),
    packages=(ENCODER,),
)


@dataclass(frozen=True)
class OwnCatalogue(ProductCatalogue):
    """A catalogue whose shoppers' words may not leave this machine."""


def load(tables: Mapping[str, pd.DataFrame], tokenizer: bytes, weights: Path) -> OwnCatalogue:
    """Items by code, queries with their items' places. Raises TooLittle."""
    items = tables["catalogue"].drop_duplicates("code").sort_values("code")
    asked = tables["queries"].drop_duplicates()
    place = {code: number for number, code in enumerate(items.code)}
    known = asked[asked.code.isin(place)]
    if len(known) < len(asked) / 2:
        strange = asked.code[~asked.code.isin(place)].iloc[0]
        raise TooLittle(f"{len(asked) - len(known):,} of {len(asked):,} queries mean no product: {strange!r}")
    enough(len(known), FEWEST_QUERIES, "queries whose product is in the catalogue")
    wanted = np.array([place[code] for code in known.code], dtype=np.int64)
    return OwnCatalogue(
        tuple(items.code), tuple(items.name), tuple(known["query"]), wanted, tokenizer, weights
    )
