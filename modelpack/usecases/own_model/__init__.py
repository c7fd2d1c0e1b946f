"""A user's own use case: a model that exists, a metric, sample requests. `from ecomdeploy import OwnModel`.

`model.py` is the class to build on, `signature.py` reads what the model itself says it takes and gives, `requests.py`
checks sample requests against that, `asking.py` calls the user's code and names his lines when it goes wrong.
"""
