"""Data sources about the account: caller, region, partition."""

from __future__ import annotations

from infra.rehearsal.engine.provider import ProviderError, Values
from infra.rehearsal.providers.aws.clients import AwsClient


def _caller(account: AwsClient, args: Values) -> Values:
    who = account.caller
    return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}


def _region(account: AwsClient, args: Values) -> Values:
    asked = args.get("region") or args.get("name") or account.region
    if args.get("endpoint"):
        raise ProviderError(
            "UnknownArgument", "getRegion: the embedded engine does not know the argument endpoint"
        )
    return {
        "id": asked,
        "name": asked,
        "region": asked,
        "endpoint": f"ec2.{asked}.amazonaws.com",
        "description": asked,
    }


def _partition(account: AwsClient, args: Values) -> Values:
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
