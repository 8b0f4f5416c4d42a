"""The asynchronous client is what `tools/unasync.py` makes of the synchronous one."""

import inspect

import pytest

import secateur
from tools import unasync


def test_committed_files_are_up_to_date() -> None:
    assert unasync.out_of_date() == []


def test_check_fails_on_an_outdated_generated_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unasync, "TWINS", {"secateur/jobs.py": "secateur/async_client.py"})

    assert unasync.main(["--check"]) == 1
    assert "secateur/async_client.py is out of date" in capsys.readouterr().err


def test_twins_have_the_same_methods_and_arguments() -> None:
    for one, other in (
        (secateur.Client, secateur.AsyncClient),
        (secateur.Job, secateur.AsyncJob),
        (secateur.Sweep, secateur.AsyncSweep),
    ):
        methods = [name for name, _ in inspect.getmembers(one, inspect.isfunction)]
        methods = [name for name in methods if not name.startswith("_")]

        assert methods
        for name in methods:
            mine, its = getattr(one, name), getattr(other, name)
            assert list(inspect.signature(mine).parameters) == list(
                inspect.signature(its).parameters
            )
            is_inherited = its is mine  # from `JobData`, which both extend
            assert inspect.iscoroutinefunction(its) == (name != "events") or is_inherited


def test_docstrings_are_full_in_both() -> None:
    assert "Raises:" in (secateur.AsyncClient.prune.__doc__ or "")
    assert "`AsyncJob.wait`" in (secateur.AsyncClient.prune.__doc__ or "")


def test_a_result_that_is_used_at_once_is_awaited_in_parentheses() -> None:
    text = "def f(self):\n    return self.run(1).body, self.run(2)[0], self.run(3)\n"

    assert unasync._insert_awaits(text, {"run"}).splitlines()[1] == (
        "    return (await self.run(1)).body, (await self.run(2))[0], await self.run(3)"
    )
