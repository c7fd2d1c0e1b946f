"""Use cases on tables: named columns in, a probability or an amount out.

A use case on top of this is one file in `modelpack/usecases/` with a subclass of `TabularUseCase`:

    class Fraud(TabularUseCase):
        name, title, epochs, packages, split = ...
        task = BINARY                                  # or AMOUNT, with `scale` = the input that sets the size
        columns = (Number("amount", log=True), Number("components", 28), Category("product"))

        def prepare(self, home, progress) -> Split: ...       # fetch, clean, split by time: three `Part`s
        def measure(self, answers, part) -> Evaluation: ...   # answers: the model's outputs by name
        def baselines(self, data) -> tuple[Baseline, ...]: ...
        def sample(self, data, row) -> dict: ...              # "request", "about", "before" for `predict`

What comes from here:

* `frame.py`: `Number`, `Category`, `Part`, `Split`; the graph takes the raw columns by their names.
* `model.py`: `Tabular`, the torch module that does its own preparation (logarithm, standardising, vocabularies, of
  training rows only) with one of three bodies: linear, dense layers with embeddings, or trees.
* `trees.py`: LightGBM's trees as a torch module that becomes ONNX's TreeEnsembleRegressor, so that trees go through
  the same file format, passes and gate.
* `training.py`, `boosting.py`, `linear.py`: the three ways to train, each bit for bit the same under one seed.
* `selection.py`: candidates trained on training rows, compared on validation rows, the table kept in the record.
* `measures.py`: average precision, wMAPE and AUC as one value per request whose mean is the metric, so that the gate
  compares models request by request; recall at a false-positive rate, calibration, accuracy, precision, recall, F1.

Only `frame.py`, `measures.py` and `usecase.py` are light; the others import torch or LightGBM.
"""
