"""Errors are one sentence with advice, whatever the operating system says."""

import errno
import os

import pytest

from ingestion.errors import (
    IngestError,
    InterruptError,
    RetryError,
    SetAsideError,
    StopError,
    explained,
)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "permission is missing"),
        (errno.EROFS, "read-only"),
        (errno.ENOENT, "it is not there"),
        (errno.ELOOP, "Too many levels of symbolic links"),
    ],
)
def test_an_error_of_the_system_says_what_where_and_what_to_do(
    number: int, advice: str
) -> None:
    with (
        pytest.raises(StopError) as caught,
        explained("write to the landing data/landing"),
    ):
        raise OSError(number, os.strerror(number), "data/landing/topics")
    message = str(caught.value)
    assert message.startswith("Cannot write to the landing data/landing (data/landing/")
    assert advice in message
    assert message.endswith("then run the same command again.")


def test_an_error_without_a_number_keeps_its_text() -> None:
    with (
        pytest.raises(StopError, match="Cannot read: made up: correct that"),
        explained("read"),
    ):
        raise OSError("made up")


def test_errors_that_are_sentences_already_pass_unchanged() -> None:
    with pytest.raises(RetryError, match=r"^again$"), explained("read"):
        raise RetryError("again")


def test_exit_codes_say_what_the_caller_should_do() -> None:
    errors: list[IngestError] = [StopError(""), RetryError(""), InterruptError(15)]
    assert [error.exit_code for error in errors] == [1, 4, 143]
    assert SetAsideError("not_utf8", "is not UTF-8").reason == "not_utf8"
