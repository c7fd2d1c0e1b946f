"""The project that was packed once for the whole run."""

from packed import packed

__all__ = ["packed"]
