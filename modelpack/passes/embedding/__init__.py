"""Passes over embedding tables."""

ONE_A_FILE = True
