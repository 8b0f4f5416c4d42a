"""Browser fixtures. Closing a tab fails the test if the tab logged an unexpected problem."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fixtures.browser import Tab, running_browser

OpenTab = Callable[..., Any]


# One browser per module, not per session: while Playwright runs, its event loop is this thread's
# running loop, and later tests in the process could not start one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def open_tab(browser: Browser) -> OpenTab:
    """Return a context manager that opens a tab and checks it for unexpected problems."""

    @contextmanager
    def opened(base: str, *, expected: tuple[str, ...] = (), **options: Any) -> Iterator[Tab]:
        tab = Tab(browser, base, **options)
        try:
            yield tab
            unexpected = [
                problem for problem in tab.problems if not any(text in problem for text in expected)
            ]
            assert unexpected == []
            assert tab.foreign() == []
        finally:
            tab.close()

    return opened
