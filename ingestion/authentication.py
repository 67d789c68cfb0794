"""Ways to prove who asks, from the environment or AWS's chain of credentials only."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from ingestion.errors import StopError

KINDS: Final = ("none", "sigv4", "api-key", "basic", "bearer")
"""What `--auth` takes."""

RENEW: Final = "renew them, then run the same command again."
_SERVICE: Final = "execute-api"


class NoAuth(AuthBase):
    """Sends no credentials, also not those of a `.netrc`, which requests would take."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave the request as it is."""
        return request


class HeaderAuth(AuthBase):
    """Sends a secret in a header."""

    def __init__(self, header: str, secret: str) -> None:
        """Keep the secret; it is in no message."""
        self._header = header
        self._secret = secret.encode()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers[self._header] = self._secret  # type: ignore[assignment]
        return request


class SigV4(AuthBase):
    """Signs each attempt anew, over the exact bytes sent.

    The source is "Signature Version 4 signing process" of the AWS documentation, in
    botocore's implementation. Credentials are read for each attempt, so that those
    which expire are renewed by whoever provides them.
    """

    def __init__(self, credentials: Callable[[], Credentials], region: str) -> None:
        """Sign for a gateway in this region."""
        self._credentials = credentials
        self._region = region

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the headers of the signature; all others stay as they are."""
        content_type = request.headers.get("Content-Type")
        signed = AWSRequest(
            method=request.method,
            url=request.url,
            data=request.body or b"",
            headers={"Content-Type": content_type} if content_type else {},
        )
        SigV4Auth(self._credentials(), _SERVICE, self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


@contextmanager
def credentials_renewed() -> Iterator[None]:
    """Make one sentence of botocore's error for renewed ones that are still expired.

    It is a bare RuntimeError, such as where `credential_process` answers from a cache.
    """
    try:
        yield
    except RuntimeError as error:
        if "still expired" not in str(error):
            raise
        raise StopError(f"The AWS credentials have expired: {RENEW}") from error


class Chain:
    """AWS's chain of credentials: environment, profile, role of the machine."""

    def __init__(self, make_session: Callable[[], Session] = Session) -> None:
        """Read nothing yet."""
        self._make_session = make_session
        self._session = make_session()

    def __call__(self) -> Credentials:
        """Return the credentials as they are now; `StopError` where there are none."""
        try:
            found = self._session.get_credentials()
            with credentials_renewed():
                frozen = found.get_frozen_credentials() if found else None
            if not frozen or not frozen.access_key or not frozen.secret_key:
                raise StopError(
                    "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, then run it again."
                )
            return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
        except BotoCoreError as error:
            raise StopError(
                f"AWS credentials cannot be read ({type(error).__name__}): correct the "
                "profile or the role, then run it again."
            ) from error

    def renew(self) -> None:
        """Read them from the beginning the next time."""
        self._session = self._make_session()


class Authentication(NamedTuple):
    """How requests are authenticated, and how to renew what may have expired."""

    auth: AuthBase
    renew: Callable[[], None] | None = None
    secret: bool = True


def choose_authentication(
    kind: str,
    region: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Authentication:
    """Return what `--auth` asks for.

    Reads `GATEWAY_API_KEY`, `GATEWAY_USERNAME` and `GATEWAY_PASSWORD`, or
    `GATEWAY_TOKEN`. Raises `StopError` where one is missing, or the region.
    """
    if kind == "sigv4":
        if not region:
            raise StopError("--auth sigv4 signs for a region: say --region.")
        chain = Chain()
        return Authentication(SigV4(chain, region), chain.renew, secret=False)
    if kind == "api-key":
        key = _required(environment, kind, "GATEWAY_API_KEY")
        return Authentication(HeaderAuth("x-api-key", key))
    if kind == "bearer":
        token = _required(environment, kind, "GATEWAY_TOKEN")
        return Authentication(HeaderAuth("Authorization", f"Bearer {token}"))
    if kind == "basic":
        user = _required(environment, kind, "GATEWAY_USERNAME")
        password = _required(environment, kind, "GATEWAY_PASSWORD")
        return Authentication(HTTPBasicAuth(user.encode(), password.encode()))
    return Authentication(NoAuth(), secret=False)


def _required(environment: Mapping[str, str], kind: str, name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise StopError(f"--auth {kind} reads ${name}, which is not set: set it.")
    if not value.isprintable():
        raise StopError(f"${name} holds a line break or a control character: see why.")
    return value
