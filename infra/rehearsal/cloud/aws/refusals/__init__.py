"""What AWS refuses: one file per service, its rows in `ROWS`; found by scanning this package.

A new refusal is a row; `tests/infra/cloud/test_cloud_refusals.py` plays each, docs/architecture/refusals.md lists them.
"""
