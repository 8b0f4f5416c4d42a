"""Files named ``on_*.py`` are collected only when they are named, by `test_on_accelerator`."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _simulated_device(request: pytest.FixtureRequest) -> None:
    if any(item.path.name.startswith("on_") for item in request.session.items):
        from tests.accelerator.simulated import register  # noqa: PLC0415  # not in other tests

        register()
