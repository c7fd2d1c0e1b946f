"""What IAM refuses of roles, policies and identity providers."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, Found, RefusalExample, refusal_row

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

API = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_"
QUOTAS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
INLINE_SIZE, MANAGED_SIZE = 10_240, 6144
"""Characters, white space not counted."""


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


TRUST = document(
    {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
)
READ = document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shop/*"})


def _large(size: int) -> str:
    arns = [f"arn:aws:s3:::shop-{number:06d}/*" for number in range(size // 20)]
    return document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": arns})


LARGE_INLINE, LARGE = _large(INLINE_SIZE), _large(MANAGED_SIZE)


def _too_large_inline(account: Surroundings, call: ApiCall) -> Found:
    from moto.iam.models import iam_backends

    asked = call.parameters
    role = next(
        (one for one in iam_backends[ACCOUNT]["aws"].roles.values() if one.name == asked["RoleName"]), None
    )
    others = {**(role.policies if role else {}), asked["PolicyName"]: asked["PolicyDocument"]}
    size = sum(len(re.sub(r"\s", "", str(text))) for text in others.values())
    return {"role": asked["RoleName"]} if size > INLINE_SIZE else None


def _too_large(account: Surroundings, call: ApiCall) -> Found:
    size = len(re.sub(r"\s", "", call.parameters["PolicyDocument"]))
    return {} if size > MANAGED_SIZE else None


def _other_trust(account: Surroundings, call: ApiCall) -> Found:
    statements = json.loads(call.parameters["AssumeRolePolicyDocument"]).get("Statement", ())
    for one in statements if isinstance(statements, list) else [statements]:
        actions = one.get("Action", "")
        for action in actions if isinstance(actions, list) else [actions]:
            if not action.startswith("sts:"):
                return {}
    return None


def _role(name: str, **more: Any) -> ExampleCall:
    return ExampleCall("iam", "CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": TRUST, **more})


def _inline(text: str) -> dict[str, str]:
    return {"RoleName": "serving", "PolicyName": "serve", "PolicyDocument": text}


_row = partial(refusal_row, "iam")


ATTACHED = {"RoleName": "serving", "PolicyArn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
UNKNOWN = {"RoleName": "serving", "PolicyArn": "arn:aws:iam::123456789012:policy/none"}
PROVIDER = {
    "Url": "https://token.actions.example.com",
    "ClientIDList": ["sts.amazonaws.com"],
    "ThumbprintList": ["a" * 40],
}

ROWS = (
    _row(
        "CreateRole",
        "a role of that name is there",
        "EntityAlreadyExists",
        "Role with name {role} already exists.",
        f"{API}CreateRole.html",
        "documented",
        RefusalExample(
            before=(_role("serving"),), refused=_role("serving").parameters, passes=_role("other").parameters
        ),
    ),
    _row(
        "CreateRole",
        "its trust policy allows something else than to take the role",
        "MalformedPolicyDocument",
        "AssumeRole policy may only specify STS AssumeRole actions.",
        f"{API}CreateRole.html",
        "documented",
        RefusalExample(
            refused=_role("serving", AssumeRolePolicyDocument=TRUST.replace("sts:", "s3:")).parameters,
            passes=_role("serving").parameters,
        ),
        _other_trust,
    ),
    _row(
        "DeleteRole",
        "it has inline policies",
        "DeleteConflict",
        "Cannot delete entity, must delete policies first.",
        f"{API}DeleteRole.html",
        "documented",
        RefusalExample(
            before=(_role("serving"), ExampleCall("iam", "PutRolePolicy", _inline(READ))),
            refused={"RoleName": "serving"},
            between=(ExampleCall("iam", "DeleteRolePolicy", {"RoleName": "serving", "PolicyName": "serve"}),),
        ),
    ),
    _row(
        "DeleteRole",
        "policies are attached to it",
        "DeleteConflict",
        "Cannot delete entity, must detach all policies first.",
        f"{API}DeleteRole.html",
        "documented",
        RefusalExample(
            before=(_role("serving"), ExampleCall("iam", "AttachRolePolicy", ATTACHED)),
            refused={"RoleName": "serving"},
            between=(ExampleCall("iam", "DetachRolePolicy", ATTACHED),),
        ),
    ),
    _row(
        "AttachRolePolicy",
        "there is no such policy",
        "NoSuchEntity",
        "Policy {policy} does not exist or is not attachable.",
        f"{API}AttachRolePolicy.html",
        "documented",
        RefusalExample(before=(_role("serving"),), refused=UNKNOWN, passes=ATTACHED),
    ),
    _row(
        "PutRolePolicy",
        "the document is no policy",
        "MalformedPolicyDocument",
        "{words}",
        f"{API}PutRolePolicy.html",
        "documented",
        RefusalExample(before=(_role("serving"),), refused=_inline("{}"), passes=_inline(READ)),
    ),
    _row(
        "PutRolePolicy",
        "the role's inline policies together have more than 10,240 characters",
        "LimitExceeded",
        "Maximum policy size of 10240 bytes exceeded for role {role}",
        QUOTAS,
        "documented",
        RefusalExample(before=(_role("serving"),), refused=_inline(LARGE_INLINE), passes=_inline(READ)),
        _too_large_inline,
    ),
    _row(
        "CreatePolicy",
        "it has more than 6,144 characters",
        "LimitExceeded",
        "Cannot exceed quota for PolicySize: 6144",
        QUOTAS,
        "documented",
        RefusalExample(
            refused={"PolicyName": "deploy", "PolicyDocument": LARGE},
            passes={"PolicyName": "deploy", "PolicyDocument": READ},
        ),
        _too_large,
    ),
    _row(
        "CreateOpenIDConnectProvider",
        "a provider of that address is there",
        "EntityAlreadyExists",
        "{words}",
        f"{API}CreateOpenIDConnectProvider.html",
        "documented",
        RefusalExample(
            before=(ExampleCall("iam", "CreateOpenIDConnectProvider", PROVIDER),),
            refused=PROVIDER,
            passes={**PROVIDER, "Url": "https://other.example.com"},
        ),
    ),
)
