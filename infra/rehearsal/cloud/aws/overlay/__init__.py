"""What moto lacks or answers unlike AWS, one file per service, named as its requests are signed (eks, monitoring).

A file holds one subclass of `base.Overlay`; it is found by its name when the first call of its service comes in.
Every emulated behaviour is marked with `@emulates(...)`; docs/architecture/emulation.md lists them all.
"""
