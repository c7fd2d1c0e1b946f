"""How an endpoint moves from one configuration to another."""
