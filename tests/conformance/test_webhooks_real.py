"""What tests/e2e/api/test_webhooks.py holds our API server to, held against a real kube-apiserver: the same requests, the same words.

What is marked there is of our server alone: its counters, its bounds, kinds that are no more.
"""
import importlib
import pathlib
import sys

import pytest

from real_server import RealServer, need

need("kube-apiserver", "etcd-server")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/api"))
ours = importlib.import_module("test_webhooks")


def is_shared(name, thing):
    return name in ("configure", "hook") or (name.startswith("test_") and not any(m.name == "ours" for m in getattr(thing, "pytestmark", [])))


globals().update({name: thing for name, thing in vars(ours).items() if is_shared(name, thing)})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = RealServer(tmp_path_factory.mktemp("real")).start()
    yield s
    s.stop()


@pytest.fixture
def ns(server, request):
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    assert server.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    server.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})  # no controller makes it
    return name
