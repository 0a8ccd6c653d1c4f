"""A lab with a control plane, in which pods have sidecars."""
import lab_harness
import pytest
from meshed_lab import Mesh


@pytest.fixture(scope="module")
def lab():
    yield from lab_harness.running(lab_harness.Lab(), "--mesh")


@pytest.fixture(scope="module")
def mesh(lab):
    return Mesh(lab)
