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


@pytest.fixture(scope="module")
def web(lab):
    """Two echo pods behind Service web (at lab.url), and a client pod."""
    lab.apply(lab_harness.echo("web", replicas=2), lab_harness.service("web"),
              {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "labels": {"app": "client"}},
               "spec": {"containers": [{"name": "c", "image": "busybox"}]}})
    lab.wait_ready("app=web", 2)
    lab.wait_ready("app=client", 1)
    lab.url = f"http://{lab.get('svc/web')['spec']['clusterIP']}/name"
    client = lab.pod_netns("client")
    lab_harness.wait_until("the Service answers", lambda: lab.answers(client, lab.url))
    return lab
