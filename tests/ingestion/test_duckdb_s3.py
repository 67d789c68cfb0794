"""What DuckDB is told about S3: what `ingest` itself would use."""

import duckdb
import pytest

from ingestion.duckdb_plugin import read_s3, s3_secret
from ingestion.errors import StopError

AWS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "it's made up",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


def test_on_aws_region_and_keys_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"key_id": "made-up", "secret": "it's made up"}
    assert s3_secret() == {**keys, "region": "us-east-1"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert s3_secret() == {**keys, "region": "eu-west-1", "session_token": "token"}


@pytest.mark.parametrize(
    ("url", "endpoint", "ssl"),
    [
        ("http://127.0.0.1:4566", "127.0.0.1:4566", "false"),
        ("https://s3.test/below/", "s3.test/below", "true"),
        ("https://amazonaws.com.evil.test", "amazonaws.com.evil.test", "true"),
    ],
)
def test_another_store_is_named_with_its_scheme(
    monkeypatch: pytest.MonkeyPatch, url: str, endpoint: str, ssl: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    secret = s3_secret()
    assert (secret["endpoint"], secret["use_ssl"]) == (endpoint, ssl)
    assert secret["url_style"] == "path"


def test_without_credentials_it_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StopError, match="There are no AWS credentials"):
        s3_secret()


def test_the_extension_is_installed_and_the_secret_stays_in_memory() -> None:
    with duckdb.connect() as connection:
        read_s3(connection)
        found = connection.execute(
            "select storage, secret_string from duckdb_secrets()"
        ).fetchall()
    ((storage, shown),) = found
    assert storage == "memory"
    assert "made up" not in shown
