"""Who asks: signatures over the exact bytes, secrets from the environment only."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from botocore.credentials import Credentials
from botocore.session import Session
from click.testing import CliRunner, Result
from signed_gateway import SignedGateway

from ingestion.authentication import (
    Authentication,
    Chain,
    SigV4,
    choose_authentication,
)
from ingestion.cli import main
from ingestion.delivery import Acknowledged, Again, Message, Stop
from ingestion.endpoints import Endpoint, Place
from ingestion.errors import StopError
from ingestion.kafka_rest import KafkaRestTransport

BATCH = [Message(0, 7, '{"index":7,"title":"naïve ☕ "}'.encode())]
KEYS = {"KEY1": "secret1", "KEY2": "secret2"}


@pytest.fixture
def gateway() -> Iterator[SignedGateway]:
    with SignedGateway(KEYS, "u.pin", "u.geo", "u.user").serve() as serving:
        yield serving


def signer(*credentials: Credentials) -> SigV4:
    """Sign each attempt with the next of the credentials, then with the last."""
    left = list(credentials)
    return SigV4(lambda: left.pop(0) if len(left) > 1 else left[0], "eu-west-1")


def transport(url: str, authentication: Authentication) -> KafkaRestTransport:
    return KafkaRestTransport("u.pin", Endpoint(Place.parse(url), authentication))


def test_the_signature_holds_over_the_bytes_that_arrive(gateway: SignedGateway) -> None:
    auth = Authentication(signer(Credentials("KEY1", "secret1", "session-token")))
    way = transport(gateway.url, auth)
    assert way.check() is None
    assert way.send(BATCH) == [Acknowledged("0", "0")]
    way.close()
    assert gateway.log.topics["u.pin"][0][1] == BATCH[0].value
    assert gateway.seen[1]["X-Amz-Security-Token"] == "session-token"


def test_each_attempt_is_signed_anew_with_the_credentials_of_the_moment(
    gateway: SignedGateway,
) -> None:
    two = signer(Credentials("KEY1", "secret1"), Credentials("KEY2", "secret2"))
    way = transport(gateway.url, Authentication(two))
    assert way.send(BATCH) == [Acknowledged("0", "0")]
    assert way.send(BATCH) == [Acknowledged("0", "1")]
    way.close()
    used = [seen["Authorization"].split("Credential=")[1][:4] for seen in gateway.seen]
    assert used == ["KEY1", "KEY2"]


def test_a_wrong_secret_stops(gateway: SignedGateway) -> None:
    auth = Authentication(signer(Credentials("KEY1", "wrong")))
    way = transport(gateway.url, auth)
    (outcome,) = way.send(BATCH)
    assert isinstance(outcome, Stop)
    assert "check the credentials" in outcome.message
    assert gateway.log.topics["u.pin"] == []


def test_a_wrong_stage_is_explained(gateway: SignedGateway) -> None:
    auth = Authentication(signer(Credentials("KEY1", "secret1")))
    url = gateway.url.removesuffix("/prod")
    with pytest.raises(StopError, match=r"no such path or method\. Check the stage"):
        transport(url, auth).check()


def test_expired_credentials_are_renewed_once_and_then_stop(
    gateway: SignedGateway,
) -> None:
    renewed: list[int] = []
    gateway.expired = {"KEY1"}
    auth = Authentication(
        signer(Credentials("KEY1", "secret1")), lambda: renewed.append(1)
    )
    way = transport(gateway.url, auth)
    (first,) = way.send(BATCH)
    (second,) = way.send(BATCH)
    assert isinstance(first, Again)
    assert isinstance(second, Stop)
    assert "have expired: renew them" in second.message
    assert renewed == [1]


def test_the_chain_reads_the_environment_anew_when_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret1")
    chain = Chain()
    assert chain().access_key == "KEY1"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY2")
    assert chain().access_key == "KEY1"
    chain.renew()
    assert chain().access_key == "KEY2"


def test_no_credentials_is_one_sentence() -> None:
    class Nobody(Session):
        def get_credentials(self) -> None:
            return None

    with pytest.raises(StopError, match="There are no AWS credentials: set"):
        Chain(Nobody)()


def test_a_process_that_gives_expired_credentials_stops_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With botocore's own error: a profile's process that answers from its cache."""
    stale = {"Version": 1, "AccessKeyId": "KEY1", "SecretAccessKey": "secret1"}
    said = json.dumps({**stale, "SessionToken": "t", "Expiration": "2020-01-01T00:00Z"})
    (tmp_path / "said.json").write_text(said)
    config = f"[default]\ncredential_process = cat {tmp_path / 'said.json'}\n"
    (tmp_path / "config").write_text(config)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StopError, match="have expired: renew them"):
        Chain()()


@pytest.mark.parametrize(
    ("kind", "environment", "header", "value"),
    [
        ("api-key", {"GATEWAY_API_KEY": "k"}, "x-api-key", "k"),
        ("bearer", {"GATEWAY_TOKEN": "t\n"}, "Authorization", "Bearer t"),
        (
            "basic",
            {"GATEWAY_USERNAME": "u", "GATEWAY_PASSWORD": "é"},
            "Authorization",
            "Basic dTrDqQ==",
        ),
    ],
)
def test_secrets_come_from_the_environment(
    gateway: SignedGateway,
    kind: str,
    environment: dict[str, str],
    header: str,
    value: str,
) -> None:
    found = choose_authentication(kind, None, environment)
    transport(gateway.url, found).send(BATCH)
    assert gateway.seen[0][header] == value
    for name in environment:
        left = {n: v for n, v in environment.items() if n != name}
        with pytest.raises(StopError, match=rf"\${name}, which is not set"):
            choose_authentication(kind, None, left)


def test_a_secret_is_not_sent_in_clear_to_another_machine() -> None:
    found = choose_authentication("bearer", None, {"GATEWAY_TOKEN": "t"})
    with pytest.raises(StopError, match="use https"):
        Endpoint(Place.parse("http://example.com"), found)
    Endpoint(Place.parse("https://example.com"), found)
    Endpoint(Place.parse("http://localhost:1"), found)


def test_a_secret_with_a_control_character_is_refused() -> None:
    with pytest.raises(StopError, match="control character") as caught:
        choose_authentication("bearer", None, {"GATEWAY_TOKEN": "a\r\nb"})
    assert "a\r" not in str(caught.value)


def test_credentials_of_a_netrc_are_not_sent(
    gateway: SignedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    way = transport(gateway.url, choose_authentication("none"))
    way.send(BATCH)
    assert "Authorization" not in gateway.seen[0]


@pytest.mark.parametrize(
    ("name", "trusted"), [("127.0.0.1", False), ("elsewhere.example", True)]
)
def test_a_certificate_that_is_wrong_stops_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, trusted: bool
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    gateway, token = SignedGateway(KEYS), {"GATEWAY_TOKEN": "made-up-token"}
    with gateway.serve(authority.issue_cert(name)) as serving:
        done = emit(serving.url, tmp_path, "--auth", "bearer", **token)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert f"The certificate of {serving.url} is not trusted: correct it" in done.stderr
    assert gateway.seen == []


def test_a_certificate_of_an_authority_that_is_named_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    gateway = SignedGateway(KEYS, "u.pin", "u.geo", "u.user")
    with gateway.serve(authority.issue_cert("127.0.0.1")) as serving:
        keys = {"AWS_ACCESS_KEY_ID": "KEY1", "AWS_SECRET_ACCESS_KEY": "secret1"}
        options = ("--auth", "sigv4", "--region", "eu-west-1")
        done = emit(serving.url, tmp_path, *options, **keys)
    assert done.exit_code == 0, done.output
    assert len(gateway.log.topics["u.pin"]) == 20


def emit(url: str, state: Path, *options: str, **environment: str) -> Result:
    command = [
        *("emit", "kafka-rest", "--source", "sample", "--events", "20"),
        *("--url", url, "--gateway", "--user-id", "u", "--state", str(state)),
    ]
    return CliRunner().invoke(main, [*command, *options], env=environment)


def test_the_command_emits_through_a_gateway_with_sigv4(
    gateway: SignedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    refused = emit(gateway.url, tmp_path, "--auth", "sigv4")
    assert refused.exit_code == 1
    assert "say --region" in refused.output
    options = ("--auth", "sigv4", "--region", "eu-west-1")
    done = emit(gateway.url, tmp_path, *options)
    assert done.exit_code == 0, done.output
    assert "60 records acknowledged by kafka-rest" in done.output
    assert len(gateway.log.topics["u.user"]) == 20
    assert "secret1" not in done.output
    again = emit(gateway.url, tmp_path, *options)
    assert "Nothing new" in again.output
