"""What runs in the container: `python3 -m modelpack.server`.

Imports only itself, the standard library and the wheels that the runtime names (a test reads the imports).
`modelpack/inputs/server_files.py` puts it into every image, but of `handlers` only what the use case names.
"""
