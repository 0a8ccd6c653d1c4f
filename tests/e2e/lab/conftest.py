"""A lab per module; a web Service in it."""

import pytest

import lab_harness


@pytest.fixture(scope="module")
def lab():
    yield from lab_harness.running(lab_harness.Lab())


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
