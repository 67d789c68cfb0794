"""The errors of this package, named by what the caller should do about them."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class IngestError(Exception):
    """Any failure with a message for a person: what, where, and what to do next."""

    exit_code: int = 1


class StopError(IngestError):
    """Going on would lose or double records, or cannot work: somebody must act."""


class DamagedError(StopError):
    """Metadata that cannot be read: `ingest verify` counts them as broken."""


class RetryError(IngestError):
    """Nothing is wrong with the data: the same command, run again, may succeed."""

    exit_code: int = 4


class SetAsideError(IngestError):
    """One record cannot go on: keep it with its reason, and go on without it."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason`, one of the words of the ledger, beside the sentence."""
        super().__init__(message)
        self.reason = reason


INTERRUPTED: Final = "Query interrupted"
"""What DuckDB says, in a `RuntimeError`, when Ctrl-C comes while it works."""


class InterruptError(IngestError):
    """A signal asked the run to end; what was in flight is finished."""

    def __init__(self, signum: int) -> None:
        """Exit as a shell says it: 128 plus the signal's number."""
        super().__init__("Interrupted. Run the same command again to continue.")
        self.exit_code = 128 + signum


_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "a file may not grow that large here: raise the limit (ulimit -f)",
    errno.EACCES: "permission is missing: grant it, or use another folder",
    errno.EPERM: "the operation is not permitted: grant it, or use another folder",
    errno.EROFS: "the file system is read-only: use another folder",
    errno.ENOENT: "it is not there: check the path",
    errno.EEXIST: "a file has the name of a folder: use another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder: check the path",
    errno.EISDIR: "it is a folder, not a file: check the path",
    errno.ENAMETOOLONG: "the path is too long: use a shorter one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an error: check it before going on",
}


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn an `OSError` inside the block into one `StopError` sentence.

    `doing` completes "Cannot …", such as "write to the landing data/landing".
    """
    try:
        yield
    except OSError as error:
        raise StopError(_sentence(doing, error)) from error


def _sentence(doing: str, error: OSError) -> str:
    number = error.errno or 0
    reason = error.strerror or os.strerror(number) if number else str(error)
    advice = _ADVICE.get(number, f"{reason}: correct that")
    at = f" ({error.filename})" if error.filename else ""
    return f"Cannot {doing}{at}: {advice}, then run the same command again."
