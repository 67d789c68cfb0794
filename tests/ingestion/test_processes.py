"""What a suite does without a server that it needs."""

import pytest
from processes import require


def test_without_a_server_a_test_is_left_out_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs Java: install it"):
        require("the broker needs Java: install it")
    require(None)


def test_in_ci_a_missing_server_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs Java: install it"):
        require("the broker needs Java: install it")
    require(None)
