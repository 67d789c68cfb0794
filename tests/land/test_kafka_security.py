"""Landing from brokers that ask who is there: TLS, SCRAM, tokens and permissions."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import kafka_broker
import pytest
import trustme
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka_broker import Broker
from processes import require

from ingestion.cli import main
from ingestion.emitters import Flush
from ingestion.errors import StopError
from ingestion.kafka_source import KafkaReader, kafka_consumer
from ingestion.lander import Lander
from ingestion.landing import Landing
from ingestion.stores import DirectoryStore
from ingestion.topics import KafkaAdmin, kafka_settings

PASSWORD = "made-up for this test"  # noqa: S105
LIFE_SECONDS = 4.0
JAAS = "org.apache.kafka.common.security"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def broker(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A broker where only clients of the plain listener may do everything."""
    require(kafka_broker.missing())
    folder = tmp_path_factory.mktemp("kafka")
    listeners = {"SCRAM": "SASL_SSL", "TOKEN": "SASL_PLAINTEXT"}
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(write_keys(authority, folder / "keys.pem")),
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.scram.scram-sha-256.sasl.jaas.config": (
            f"{JAAS}.scram.ScramLoginModule required;"
        ),
        "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.token.oauthbearer.sasl.jaas.config": (
            f"{JAAS}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";'
        ),
        "listener.name.token.oauthbearer.connections.max.reauth.ms": "60000",
        "authorizer.class.name": (
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        ),
        "super.users": "User:ANONYMOUS",
    }
    with Broker(folder, settings, listeners) as started:
        started.create_topics("a.pin")
        add_user(started)
        yield started


def write_keys(authority: trustme.CA, path: Path) -> Path:
    """Write a server's key, as PKCS 8, and its certificates."""
    issued = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    named = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    path.write_bytes(named + chain)
    return path


def add_user(broker: Broker) -> None:
    """Add a user who may read the topic, but belong to no group."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    information = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    wanted = UserScramCredentialUpsertion("lander", information, PASSWORD.encode())
    for future in admin.alter_user_scram_credentials([wanted]).values():
        future.result(30)
    for name in ("lander", "token"):
        grant(broker, name, ResourceType.TOPIC, "a.pin", AclOperation.READ)
        grant(broker, name, ResourceType.BROKER, "kafka-cluster", AclOperation.DESCRIBE)


def grant(
    broker: Broker, user: str, kind: ResourceType, name: str, what: AclOperation
) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    rule = AclBinding(
        kind,
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        what,
        AclPermissionType.ALLOW,
    )
    for future in admin.create_acls([rule]).values():
        future.result(30)


def produce(broker: Broker, start: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for n in range(start, start + count):
        producer.produce("a.pin", b"%d" % n)
    assert producer.flush(30) == 0


def scram(authority: trustme.CA, folder: Path, password: str = PASSWORD) -> Path:
    trusted = folder / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    config = folder / "kafka.properties"
    config.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
        f"sasl.username=lander\nsasl.password={password}\nssl.ca.location={trusted}\n"
    )
    return config


def land(broker: Broker, config: Path, landing: Path, *more: str) -> Result:
    options = ["--bootstrap", broker.at["SCRAM"], "--topics", "a.pin", "--timeout", "8"]
    files = ["--kafka-config", str(config), "--landing", str(landing)]
    return CliRunner().invoke(main, ["land", "kafka", *options, *files, *more])


def lines(landing: Path) -> list[bytes]:
    found = sorted((landing / "topics/a.pin/partition=0").glob("*.json"))
    return b"".join(path.read_bytes() for path in found).split()


# --- TLS and SCRAM -----------------------------------------------------------------


def test_a_topic_lands_over_tls_with_scram(
    broker: Broker, authority: trustme.CA, tmp_path: Path
) -> None:
    produce(broker, 0, 10)
    result = land(broker, scram(authority, tmp_path), tmp_path / "landing")
    assert result.exit_code == 0, result.output
    assert lines(tmp_path / "landing")[:10] == [b"%d" % n for n in range(10)]


def test_a_wrong_password_is_one_sentence_that_does_not_tell_it(
    broker: Broker, authority: trustme.CA, tmp_path: Path
) -> None:
    config = scram(authority, tmp_path, "wrong-word")
    result = land(broker, config, tmp_path / "landing")
    assert result.exit_code == 1
    assert "Correct the user, the password or the certificates" in result.stderr
    assert "wrong-word" not in result.output


def test_a_broker_of_an_unknown_authority_is_one_sentence(
    broker: Broker, tmp_path: Path
) -> None:
    result = land(broker, scram(trustme.CA(), tmp_path), tmp_path / "landing")
    assert result.exit_code == 1
    assert "the brokers refuse the connection" in result.stderr


def test_a_group_that_may_not_be_read_is_one_sentence(
    broker: Broker, authority: trustme.CA, tmp_path: Path
) -> None:
    config = scram(authority, tmp_path)
    result = land(broker, config, tmp_path / "landing", "--follow", "--group", "mine")
    assert result.exit_code == 1
    assert "Grant READ on the group (--group names another)" in result.stderr


def test_the_doctor_says_who_will_not_be_warned_before_records_expire(
    broker: Broker, authority: trustme.CA, tmp_path: Path
) -> None:
    options = ["--bootstrap", broker.at["SCRAM"], "--user-id", "a"]
    config = ["--kafka-config", str(scram(authority, tmp_path))]
    told = CliRunner().invoke(main, ["doctor", *options, *config]).stdout
    assert "ok     brokers, pin: a.pin is there" in told
    assert "WRONG  brokers, pin, retention: a.pin may not be asked" in told

    topic, may = ResourceType.TOPIC, AclOperation.DESCRIBE_CONFIGS
    grant(broker, "lander", topic, "a.pin", may)
    told = CliRunner().invoke(main, ["doctor", *options, *config]).stdout
    assert "ok     brokers, pin, retention: 168 hours" in told


# --- tokens ------------------------------------------------------------------------


class Tokens:
    """Makes unsecured tokens (RFC 7515, appendix A.5) that live for seconds."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, _: str) -> tuple[str, float]:
        self.made += 1
        now = time.time()
        claims = {"sub": "token", "iat": now, "exp": now + LIFE_SECONDS}
        token = f"{encoded({'alg': 'none'})}.{encoded(claims)}."
        return token, now + LIFE_SECONDS


def encoded(part: Mapping[str, object]) -> str:
    text = json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_a_token_is_renewed_while_a_topic_is_followed(
    broker: Broker, tmp_path: Path
) -> None:
    """Without a new token the broker hangs up when the old one has expired."""
    grant(broker, "token", ResourceType.GROUP, "tokens", AclOperation.READ)
    tokens = {"reader": Tokens(), "admin": Tokens()}
    named = {
        "bootstrap.servers": broker.at["TOKEN"],
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
    }
    consumer = kafka_consumer(
        broker.at["TOKEN"], "tokens", {**named, "oauth_cb": tokens["reader"]}
    )
    admin = KafkaAdmin({**named, "oauth_cb": tokens["admin"], "log_level": 0})
    landing = Landing.open(DirectoryStore(tmp_path))
    begin = time.monotonic()
    count = 0

    def enough() -> bool:
        nonlocal count
        if time.monotonic() < begin + 3 * LIFE_SECONDS:
            produce(broker, count, 1)
            count += 1
            return False
        return len(lines(tmp_path)) >= count

    with closing(KafkaReader(consumer, admin, ["a.pin"], shared=True)) as reader:
        flush = Flush(max_seconds=0.5)
        Lander(landing, reader, flush=flush, follow=True).run(enough)
    assert min(each.made for each in tokens.values()) >= 3
    assert lines(tmp_path)[-count:] == [b"%d" % n for n in range(count)]


def test_tokens_for_msk_are_signed_by_the_chain_of_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "kafka.properties"
    config.write_text("security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    profiles = tmp_path / "config"
    profiles.write_text("[profile lander]\nregion=eu-west-1\n", "utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    with pytest.raises(StopError, match="set AWS_REGION"):
        kafka_settings(config)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StopError, match=r"\(nobody\).*correct AWS_PROFILE"):
        kafka_settings(config)
    monkeypatch.setenv("AWS_PROFILE", "lander")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    token, expires = kafka_settings(config)["oauth_cb"]("")
    url = urlsplit(base64.urlsafe_b64decode(token + "==").decode())
    asked = parse_qs(url.query)
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIAMADEUP/")
    assert 0 < expires - time.time() <= 900
    config.write_text("sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.method=oidc\n")
    assert "oauth_cb" not in kafka_settings(config)
