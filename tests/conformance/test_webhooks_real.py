"""What tests/e2e/api/test_webhooks.py holds our API server to, held against a real kube-apiserver: the same requests, the same words."""
import pathlib
import sys

import pytest

from real_server import RealServer, need

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/api"))

from test_webhooks import *  # noqa: E402,F403
from test_webhooks import configure, hook  # noqa: E402,F401

need("kube-apiserver", "etcd-server")

# What is marked is of our server alone: its counters, its bounds, kinds that are no more.
for _name, _test in list(globals().items()):
    if any(m.name == "ours" for m in getattr(_test, "pytestmark", [])):
        del globals()[_name]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = RealServer(tmp_path_factory.mktemp("real")).start()
    yield s
    s.stop()


@pytest.fixture
def ns(server, request):
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    assert server.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    server.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return name
