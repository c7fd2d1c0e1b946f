"""Which shipments will be late?"""

from modelpack.usecases.logistics.usecase import Logistics

__all__ = ["Logistics"]
