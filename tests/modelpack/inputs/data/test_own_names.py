"""`data.columns`: which of the user's columns is which of the use case's."""

from __future__ import annotations

import pytest

from modelpack.inputs.data.reading import report_unknown
from modelpack.inputs.spec import DataSpec
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of


@pytest.mark.parametrize(
    ("key", "near"),
    [("unit", "units"), ("sales.unit", "sales.units"), ("dispaly", "display"), ("basket_size", "")],
)
def test_a_name_that_the_use_case_does_not_have_is_told(key: str, near: str) -> None:
    """Also of a column that may be left out: nothing else would ever say that it was not read."""
    wanted = own_data_of(usecases().get("pricing"))
    assert wanted is not None
    right = {"time": "ordered_at", "sales.revenue": "paid"}
    assert list(report_unknown(wanted, DataSpec(source="orders", columns=right))) == []
    [told] = report_unknown(wanted, DataSpec(source="orders", columns={**right, key: "mine"}))
    assert f"data.columns names {key!r}" in told.what
    assert told.hint == (f"is it {near!r}?" if near else "")
