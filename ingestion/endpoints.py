"""An HTTP endpoint: one request at a time, and what its answers mean.

Nothing is retried here, and no redirect is followed. After anything but a success the
connection is dropped: some proxies leave one that never answers again.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import orjson
import requests
from urllib3.exceptions import LocationParseError, NewConnectionError

from ingestion.authentication import Authentication, NoAuth
from ingestion.delivery import Again, Refused, Stop
from ingestion.errors import StopError

CONNECT_SECONDS: Final = 5.0
DIRECT_READ_SECONDS: Final = 70.0
"""More than the 60 s that a Kafka producer waits for a topic's metadata."""

GATEWAY_READ_SECONDS: Final = 35.0
"""More than the 29 s that Amazon API Gateway gives an integration."""

CERTIFICATE_FAILED: Final = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's word for a certificate that is not trusted, or of another name.

All else that fails in TLS, such as a connection cut in the middle, may pass.
"""

_NO_ADDRESS: Final = "--url takes an address such as https://host:8082."
_SKEW_SECONDS: Final = 60.0
_MESSAGE_LENGTH: Final = 200
_SPLIT: Final = {400, 413, 422}
_RETRY: Final = {408, 425, 429}
_OK: Final = 200
_UNAVAILABLE: Final = 503
_AWS_HOST = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """Return the body's JSON; None where it has none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def error_code(self) -> int | None:
        """The `error_code` of a proxy's error."""
        named = self.json()
        code = named.get("error_code") if isinstance(named, dict) else None
        return code if isinstance(code, int) else None

    def mentions(self, text: str) -> bool:
        """Tell whether headers or body hold a text; they are shown to nobody."""
        kind = self.headers.get("x-amzn-ErrorType", "")
        return text in kind or text.encode() in self.body

    def __str__(self) -> str:
        """Name it without its body, which may repeat what was sent."""
        code = f", error_code {self.error_code}" if self.error_code is not None else ""
        kind = self.headers.get("Content-Type", "no type").partition(";")[0]
        return f"HTTP {self.status} ({kind}{code})"


class Place(NamedTuple):
    """Where an endpoint is: its address, and whether a gateway stands before it."""

    url: str
    gateway: bool = False

    @classmethod
    def parse(cls, url: str, *, gateway: bool = False) -> "Place":
        """Check an address, and refuse one that carries a secret."""
        parts = _split(url)
        if parts.username is not None or parts.query or parts.fragment:
            raise StopError(
                "The URL carries a user, a query or a fragment: keys in a URL end up "
                "in logs. Give the address alone, and the key in the environment "
                "(see --auth)."
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise StopError(_NO_ADDRESS)
        known = _AWS_HOST.search(parts.hostname) is not None
        return cls(url.rstrip("/"), gateway or known)

    @property
    def region(self) -> str | None:
        """The AWS region that a gateway's name tells."""
        found = _AWS_HOST.search(urlsplit(self.url).hostname or "")
        return found[1] if found else None

    @property
    def read_seconds(self) -> float:
        """How long to wait for an answer."""
        return GATEWAY_READ_SECONDS if self.gateway else DIRECT_READ_SECONDS

    def require_safe(self, authentication: Authentication) -> None:
        """Refuse to send a secret in clear to another machine."""
        parts = urlsplit(self.url)
        if authentication.secret and parts.scheme == "http" and not _local(parts):
            raise StopError(
                f"{self.url} is not encrypted, a secret would be readable on its way: "
                "use https."
            )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # says whether it is one
    except ValueError:  # its text may repeat a key
        raise StopError(_NO_ADDRESS) from None
    return parts


def _local(parts: "object") -> bool:
    host = getattr(parts, "hostname", None) or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Endpoint:
    """One HTTP endpoint, for one thread."""

    def __init__(
        self,
        place: Place,
        authentication: Authentication | None = None,
        *,
        make_session: Callable[[], requests.Session] = requests.Session,
        now: Callable[[], float] = time.time,
        read_seconds: float | None = None,
    ) -> None:
        """Connect to nothing yet; wait `read_seconds`, or as the place wants it."""
        self.place = place
        self._read_seconds = read_seconds or place.read_seconds
        self._authentication = authentication or Authentication(NoAuth(), secret=False)
        place.require_safe(self._authentication)
        self._make_session = make_session
        self._now = now
        self._session: requests.Session | None = None
        self._expired = False

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer | Again:
        """Send one request. Raises `StopError` where no other could succeed."""
        if self._session is None:
            self._session = self._make_session()
        try:
            got = self._session.request(
                method,
                self.place.url + path,
                data=body,
                headers=dict(headers),
                auth=self._authentication.auth,
                timeout=(CONNECT_SECONDS, self._read_seconds),
                allow_redirects=False,
            )
        except (requests.RequestException, LocationParseError) as error:
            self.close()
            return self._failure(error)
        if got.status_code != _OK:
            self.close()
        else:
            self._expired = False
        return Answer(got.status_code, got.headers, got.content)

    def _failure(self, error: requests.RequestException | LocationParseError) -> Again:
        """Say what a failed request means; its text may hold more than it should."""
        where = self.place.url
        if isinstance(error, requests.exceptions.SSLError):
            if CERTIFICATE_FAILED in str(error):
                raise StopError(
                    f"The certificate of {where} is not trusted: correct it, or name "
                    "its authority in $REQUESTS_CA_BUNDLE."
                ) from error
            return Again(f"TLS with {where} failed", ambiguous=True)
        if isinstance(error, requests.ReadTimeout):
            seconds = f"{self._read_seconds:g} s"
            return Again(f"{where} did not answer within {seconds}", ambiguous=True)
        if isinstance(error, requests.ConnectTimeout) or _never_connected(error):
            return Again(f"cannot connect to {where}")
        if isinstance(
            error,
            requests.ConnectionError
            | requests.exceptions.ChunkedEncodingError
            | requests.exceptions.ContentDecodingError,
        ):
            return Again(f"the connection to {where} broke", ambiguous=True)
        raise StopError(
            f"{where} cannot be asked ({type(error).__name__}): check the URL."
        ) from error

    # --- what an answer means ------------------------------------------------------

    def judge(self, answer: Answer) -> Again | Refused | Stop:
        """Say what an answer that acknowledges nothing means for its records."""
        status = answer.status
        if status in {401, 403}:
            return self._denied(answer)
        if status in _SPLIT:
            return Refused(str(answer))
        if status in _RETRY or status >= 500:  # noqa: PLR2004 - HTTP's classes
            wait = retry_after(answer, self._now())
            ambiguous = status not in {425, 429, _UNAVAILABLE}
            return Again(f"{self.place.url} says {answer}", ambiguous, wait)
        if 300 <= status < 400:  # noqa: PLR2004
            return Stop(
                f"{self.place.url} redirects ({answer}), which could send records "
                "elsewhere: give the address it redirects to as --url."
            )
        if 200 <= status < 300:  # noqa: PLR2004
            reason = f"{self.place.url} says {answer}, which acknowledges nothing"
            return Again(reason, ambiguous=True)
        return Stop(
            f"{self.place.url} says {answer}: check that the URL, with its path or "
            "stage, is the right one."
        )

    def _denied(self, answer: Answer) -> Again | Stop:
        where = self.place.url
        skew = clock_skew(answer.headers.get("Date", ""), self._now())
        if answer.mentions("Missing Authentication Token"):
            return Stop(
                f"{where} answers 403 Missing Authentication Token: for a gateway this "
                "means that it has no such path or method. Check the stage in --url, "
                "and --auth."
            )
        if skew:
            return Stop(f"{where} denies access ({answer}); {skew}")
        renew = self._authentication.renew
        if answer.mentions("xpired") and renew is not None and not self._expired:
            self._expired = True
            renew()
            return Again(f"the credentials for {where} have expired")
        if answer.mentions("xpired"):
            return Stop(
                f"The credentials for {where} have expired: renew them, then run the "
                "same command again."
            )
        return Stop(
            f"{where} denies access ({answer}): check the credentials and what they "
            "may do, and --auth."
        )


def clock_skew(date: str, now: float) -> str:
    """Compare a `Date` header with this clock; text if they differ by over 60 s."""
    there = _http_date(date)
    seconds = 0.0 if there is None else now - there
    if abs(seconds) <= _SKEW_SECONDS:
        return ""
    way = "ahead of" if seconds > 0 else "behind"
    return (
        f"the clock of this machine is {abs(seconds):.0f} s {way} the server's: "
        "set it right, signatures hold for some minutes only."
    )


def retry_after(answer: Answer, now: float) -> float:
    """Return the seconds that `Retry-After` asks for, given as number or date.

    The source is RFC 9110, section 10.2.3. A date is compared with the server's own
    `Date` where it sends one.
    """
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return 0.0
    return max(until - (_http_date(answer.headers.get("Date", "")) or now), 0.0)


def short(text: object) -> str:
    """Return a message of the other side in one line of bounded length."""
    line = " ".join(str(text).split())
    return line if len(line) <= _MESSAGE_LENGTH else line[:_MESSAGE_LENGTH] + "…"


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _never_connected(error: BaseException) -> bool:
    """Tell whether nothing was sent: no address, refused, no route."""
    inner = error.args[0] if error.args else None
    return isinstance(getattr(inner, "reason", None), NewConnectionError)
