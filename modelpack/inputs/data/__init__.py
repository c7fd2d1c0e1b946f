"""A shop's own data where it lies: `data: {from: ...}`, read by an engine that never holds it whole.

`engine.py` says what an engine is: `duckdb_files.py` is DuckDB in this process, out of core, on files that `files.py`
finds and names, `s3.py` the same on Parquet objects; `postgresql.py` is a database where it runs. `kinds.py` and
`rules.py` say what a column must hold, as Ibis expressions, so that any engine can be asked; `check.py` asks all rules
of a table in one pass; `reading.py` puts them together. Preparation that a use case writes as an expression
(`Condensed`) runs in the engine too, and only its result comes back, as Arrow.
"""
