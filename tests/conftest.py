"""What holds in every suite: no secret and no record is in any output."""

from collections.abc import Iterator

import outputs
import pytest


@pytest.fixture(scope="session", autouse=True)
def every_output() -> Iterator[outputs.Outputs]:
    """Fail the session where an emitter or a lander has shown what it must not."""
    with outputs.watching() as watched:
        yield watched
        assert not watched.leaks, f"in an output of ingest: {'; '.join(watched.leaks)}"
