"""What will sell next week at this price and promotion, and which price pays best within bounds?"""

from modelpack.usecases.pricing.usecase import Pricing

__all__ = ["Pricing"]
