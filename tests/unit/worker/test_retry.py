"""A transaction is retried while the database is away, within a time limit."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from worker.retry import retry

AWAY = OperationalError("select 1", None, Exception("connection refused"))


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def write() -> str:
        if left:
            raise left.pop(0)
        return "written"

    return write


def test_a_database_that_comes_back_gets_the_transaction() -> None:
    assert retry(failing(AWAY), threading.Event(), 60.0) == "written"


def test_unneeded_transactions_are_not_retried() -> None:
    is_pointless = threading.Event()
    is_pointless.set()
    with pytest.raises(OperationalError):
        retry(failing(AWAY), is_pointless, 60.0)


def test_waiting_ends_at_the_limit() -> None:
    with pytest.raises(OperationalError):
        retry(failing(AWAY), threading.Event(), limit_seconds=0.0)


def test_an_error_of_the_transaction_itself_is_raised_at_once() -> None:
    error = IntegrityError("insert", None, Exception("unique"))
    with pytest.raises(IntegrityError):
        retry(failing(error, error), threading.Event(), 60.0)
