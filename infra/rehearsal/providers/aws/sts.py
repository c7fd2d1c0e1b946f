"""Data sources about the account: caller, region, partition."""

from __future__ import annotations

from infra.rehearsal.engine.provider import Refused, Values
from infra.rehearsal.providers.aws.clients import Account


def _caller(account: Account, args: Values) -> Values:
    who = account.caller
    return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}


def _region(account: Account, args: Values) -> Values:
    asked = args.get("region") or args.get("name") or account.region
    if args.get("endpoint"):
        raise Refused("UnknownArgument", "getRegion: the embedded engine does not know the argument endpoint")
    return {
        "id": asked,
        "name": asked,
        "region": asked,
        "endpoint": f"ec2.{asked}.amazonaws.com",
        "description": asked,
    }


def _partition(account: Account, args: Values) -> Values:
    return {
        "id": account.partition,
        "partition": account.partition,
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


FUNCTIONS = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
}
