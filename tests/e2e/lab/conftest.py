"""A lab per module, and what the tests need from the harness, as one fixture."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import lab_harness  # noqa: E402


@pytest.fixture(scope="module")
def lab():
    yield from lab_harness.running(lab_harness.Lab())


@pytest.fixture(scope="session")
def helpers():
    return lab_harness
