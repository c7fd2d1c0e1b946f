"""A token for an EKS cluster: ours has the form that is read, and says who signed it for which cluster."""

from __future__ import annotations

import pytest

from infra.kubernetes import eks_login
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.signatures import Signatures
from infra.rehearsal.cloud.daemon.tokens import GOOD_SECONDS, PREFIX, principal, read_token

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
}
ASKED = {"cluster": "shop", "region": "us-east-1"}
LATER = 4_000_000_000.0


def sign(token: str, cluster: str = "shop", secret: str = "secret", clock: float | None = None) -> str:
    """Whose key signed it, for that cluster."""
    known = Signatures(secret, lambda key: None)
    if clock is not None:
        known = Signatures(secret, lambda key: None, clock=lambda: clock)
    return known.signer(read_token(token, cluster), GOOD_SECONDS)


def test_a_token_says_who_signed_it_for_which_cluster() -> None:
    token = eks_login.give_token(ASKED, VARIABLES)
    assert sign(token) == "local"
    for wrong in ({"cluster": "other"}, {"secret": "another"}, {"clock": LATER}):
        with pytest.raises(ApiError, match=r"signature|Signature"):
            sign(token, **wrong)


@pytest.mark.parametrize(
    "token", ["", "eyJhbGciOi", PREFIX, f"{PREFIX}bm90aGluZw", PREFIX + "é", PREFIX + "A" * 20_000]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ApiError):
        read_token(token, "shop")


def test_a_session_is_its_role() -> None:
    role = "arn:aws:iam::123456789012:role/ops"
    assert principal("arn:aws:sts::123456789012:assumed-role/ops/somebody") == role
    assert principal(role) == role


def test_the_aws_cli_is_done_without_only_for_what_it_would_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    arguments = ["--region", "us-east-1", "eks", "get-token", "--cluster-name", "shop", "--output", "json"]
    assert eks_login.asked_of("aws", arguments) == ASKED
    assert eks_login.asked_of("aws", [*arguments, "--role-arn", "arn:aws:iam::123456789012:role/ops"]) is None
    assert eks_login.asked_of("kubelogin", arguments) is None
