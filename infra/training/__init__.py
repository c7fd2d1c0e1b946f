"""Places where models are trained that are not this machine: one file each (`modelpack/training/place.py`)."""

FOLDER = "training"
"""Of the service's bucket: what jobs are given, and what they leave."""
