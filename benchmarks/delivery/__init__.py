"""Delivery rounds of one depot: who is visited by which van, in which order.

* `problem.py`: stops, loads, distances; a plan, its length, and what is wrong with one.
* `savings.py`: Clarke and Wright's savings and the nearest stop next, the rules of thumb.
* `solver.py`: PyVRP, told by iterations and a seed, never worse than the savings it starts from.
* `days.py`: store-days in London to measure on.

A library and a benchmark (`python -m benchmarks routing`). It is not served: a model server here answers rows of a
batch within milliseconds, and a round of a hundred stops is seconds of search.
"""
