"""A user's own data in place of a use case's: `data: {path: ...}`, Parquet or CSV.

`schema.py` says what a table must hold, as data; `files.py` finds and names the files, without pandas; `reading.py`
reads them and tells every problem at once. A use case declares `own_data` and turns the tables into its own data in
`from_tables`. The data stays on the machine that packs: the record holds its digest and row counts.
"""
