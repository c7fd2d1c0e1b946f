"""How a resource is found in the cloud when only the intent to make it was recorded."""
