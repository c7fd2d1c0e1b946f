"""How many of each product will be ordered next week?"""

from modelpack.usecases.inventory.usecase import Inventory

__all__ = ["Inventory"]
