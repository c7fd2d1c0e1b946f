"""Training as a job of its own: the same function as on the user's machine, in SageMaker's training container.

`train.py` is that function; `container.py` the contract of the folders; `__main__.py` the job. Where a model is trained
is a `TrainingPlace` (`place.py`); `lineage.py` says what a model was made of.
"""
