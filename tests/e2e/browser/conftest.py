"""A browser for all tests of this folder, and tabs that complain of whatever went wrong in them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fixtures.browser import Tab, running_browser

OpenTab = Callable[..., Any]


# For a file, not for the session: while it runs, Playwright's loop is this thread's running loop,
# and no test after it in the same process could run one of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture
def open_tab(browser: Browser) -> OpenTab:
    """Open a tab; when it is closed, nothing may have gone wrong but what was expected."""

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
