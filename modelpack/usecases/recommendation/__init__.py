"""What will this household buy next? Grocery recommendations from real baskets."""

from modelpack.usecases.recommendation.usecase import Recommendation

__all__ = ["Recommendation"]
