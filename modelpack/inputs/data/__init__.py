"""A shop's own data where it lies: `data: {from: ...}`, read by an engine that never holds it whole.

`files.py` finds and names the files of each table, without an engine; `engine.py` runs DuckDB in this process, out of
core; `kinds.py` and `rules.py` say what a column must hold, as Ibis expressions, so that any engine can be asked;
`check.py` asks all rules of a table in one pass; `reading.py` puts them together. Preparation that a use case writes as
an expression (`Condensed`) runs in the engine too, and only its result comes back, as Arrow.
"""
