"""Which households will redeem a coupon of this campaign?"""

from modelpack.usecases.marketing.usecase import Marketing

__all__ = ["Marketing"]
