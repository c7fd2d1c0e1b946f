"""A shop's own mailing, with customers left alone by lot, in place of Hillstrom's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.usecases.marketing.hillstrom import at_random
from modelpack.usecases.own_data.reading import TooLittle, optional
from modelpack.usecases.own_data.schema import Field, OwnData, Table
from modelpack.usecases.tabular.frame import Part, Split, enough_of_both, keep_here

if TYPE_CHECKING:
    import pandas as pd

RULE = "womens"
FEWEST_VISITORS = 30
"""And as many who did not visit, of those mailed and of those left alone, in each part."""
FEWEST_BUYERS = 50
NO_LOT = 5.0
"""Standard errors that the groups' means differ by: by lot, one column in a million."""

OWN = OwnData(
    (
        Table(
            "customers",
            "one line for each customer of a mailing that a lot chose for: those mailed and those left alone",
            (
                Field("mailed", "yes", "1: the lot said to mail"),
                Field("visited", "yes", "1: came, or bought, in the days after"),
                Field(RULE, "yes", "1: bought before what the e-mail is about (there, women's wear)"),
                Field("mens", "yes", "1: bought other things before; default 0", False),
                Field("recency", "number", "months since the last purchase; default 0", False, low=0),
                Field("history", "number", "money spent in the past year; default 0", False, low=0),
                Field("newbie", "yes", "1: a customer since less than a year; default 0", False),
                *(
                    Field(name, "yes", f"1: lives {where}; default 0", False)
                    for name, where in (
                        ("rural", "in the country"),
                        ("suburban", "in a suburb"),
                        ("urban", "in a city"),
                    )
                ),
                *(
                    Field(name, "yes", f"1: bought {how} before; default 0", False)
                    for name, how in (
                        ("by_phone", "by phone"),
                        ("by_web", "on the web"),
                        ("by_both", "by both"),
                    )
                ),
            ),
            fewest=2000,
        ),
    ),
    (
        "At random: trained on 30 %, compared on 20 %, measured on the other half.",
        f"At least {FEWEST_VISITORS} who visited and {FEWEST_VISITORS} who did not, of those mailed and of those left "
        "alone, in each of these parts.",
        "All columns but mailed and visited tell of the day before the mailing. Where those mailed differ from the "
        "others in one of them by more than a lot would, it is refused.",
    ),
    split=(
        "at random, as for the use case's own data; that a lot chose whom to mail is the shop's word, and was checked "
        "as far as the groups' means can tell"
    ),
)
INPUTS = tuple(one.name for one in OWN.tables[0].fields if one.name not in ("mailed", "visited"))


def load(tables: Mapping[str, pd.DataFrame]) -> Split:
    """Customers as from the use case's own data. Raises TooLittle."""
    rows = tables["customers"]
    rows = rows.assign(**{name: optional(rows, name, 0) for name in INPUTS})
    rows = rows.sort_values(sorted(rows.columns), kind="stable")
    check_lot(rows)
    data = at_random(
        Part(
            {name: rows[name].to_numpy(np.float32) for name in INPUTS},
            rows.visited.to_numpy(np.float32),
            np.arange(len(rows)),
            {"mailed": rows.mailed.to_numpy() == 1},
        )
    )
    for words, part in data.parts.items():
        for group, inside in (("mailed", part.more["mailed"]), ("left alone", ~part.more["mailed"])):
            who = f"customers {group} {words}"
            enough_of_both(
                part.target[inside], FEWEST_VISITORS, f"{who} who visited", f"{who} who did not visit"
            )
    bought = data.training.inputs[RULE]
    enough_of_both(bought, FEWEST_BUYERS, f"customers to train on with {RULE} 1", f"with {RULE} 0")
    return keep_here(data)


def check_lot(rows: pd.DataFrame) -> None:
    """Raises TooLittle when those mailed are others than those left alone."""
    groups = rows[rows.mailed == 1], rows[rows.mailed == 0]
    if min(map(len, groups)) < 2:
        raise TooLittle(
            f"customers: {len(groups[0]):,} mailed and {len(groups[1]):,} left alone; both are needed to tell what "
            "an e-mail adds",
            "give the customers of a mailing that left some alone, by lot",
        )
    for name in INPUTS:
        means, spreads = ([group[name].agg(what) for group in groups] for what in ("mean", "var"))
        error: Any = np.sqrt(spreads[0] / len(groups[0]) + spreads[1] / len(groups[1]))
        if abs(means[0] - means[1]) > NO_LOT * error:
            raise TooLittle(
                f"customers: no lot chose whom to mail: {name} is {means[0]:.4g} on average where mailed is 1 and "
                f"{means[1]:.4g} where it is 0",
                "give the customers of a mailing that left some alone, by lot; columns tell of the day before it",
            )
