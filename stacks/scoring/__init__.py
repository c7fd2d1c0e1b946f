"""Batch scoring: tables through a pack's own server, in bounded memory, every row once."""
