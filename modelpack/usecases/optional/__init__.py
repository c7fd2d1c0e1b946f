"""What a use case may offer beside its task: small protocols, each of which says who asks.

A use case that has a protocol's members is one, whether it names the class or not. What holds where it is not one
stands with the protocol's accessor, or with who asks.
"""
