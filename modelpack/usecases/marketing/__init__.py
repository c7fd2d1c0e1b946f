"""Which households will redeem a coupon of this campaign? And, where some were left alone: whom does an e-mail move?"""

from modelpack.usecases.marketing.uplift import MarketingUplift
from modelpack.usecases.marketing.usecase import Marketing

__all__ = ["Marketing", "MarketingUplift"]
