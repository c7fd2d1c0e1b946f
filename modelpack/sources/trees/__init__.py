"""Boosted trees from text formats: read into a forest, written as a graph."""
