"""One limited child process in which a stranger's model file is opened.

The parent (`process.py`) starts `child.py`, which gives up what it may not do (`confine.py`, `kernel.py`), lets the
format's own `convert` read the file, checks what came out (`proof.py`), and leaves an ONNX model in its folder.
"""
