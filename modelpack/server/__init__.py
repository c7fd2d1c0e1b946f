"""What runs in the container: `python3 -m modelpack.server`.

Imports only itself, `modelpack.server.golden`, the standard library and the wheels that the runtime names (a test reads
both); `modelpack/assembly/contents.py` puts this folder into the image.
"""
