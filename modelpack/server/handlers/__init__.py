"""Use cases' own parts of the model server, a folder each: in the image of that use case and in no other.

`serving.json` names the module (`handler`); its `load` makes a `modelpack.server.handler.RequestHandler`.
"""
