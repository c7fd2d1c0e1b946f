"""Which product does this text mean? Semantic search over a catalogue of real products."""

from modelpack.usecases.search.usecase import Search

__all__ = ["Search"]
