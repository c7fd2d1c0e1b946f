"""Bodies as most callers send them, read fast.

Nothing is refused here: what is not plain raises `NotPlain` and is read once more with care, which finds what is wrong
with it and where, or takes it after all. Both ways give the same arrays (tests/modelpack/server/http/test_plain.py).
"""
