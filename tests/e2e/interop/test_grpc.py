"""gRPC's own client: through a gateway, and without any, by xDS from the control plane."""
import json
import pathlib
import subprocess
import sys

import lab_harness
import pytest
from plane import HTTP_PORT
from suite import wait_until

PROGRAM = pathlib.Path(__file__).parent / "grpc_service.py"
BOOTSTRAP = {"xds_servers": [{"server_uri": "127.0.0.1:15010", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
             "node": {"id": "grpc~127.0.0.1~client.default~default.svc.cluster.local", "metadata": {"GENERATOR": "grpc"}}}


class Client:
    """A process that calls when it is told to."""

    def __init__(self, plane, peers, target, authority=""):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", plane.lab.netns(plane.node), "env", f"PYTHONPATH={peers / 'grpcio'}", f"GRPC_XDS_BOOTSTRAP_CONFIG={json.dumps(BOOTSTRAP)}",
             sys.executable, "-u", PROGRAM, "call", target, authority], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, text="hello"):
        """Which pod has answered; "failed ..." if none has."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer.startswith("failed "):
            return answer
        name, said = answer.split(" ", 1)
        assert said == text
        return name

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0


@pytest.fixture
def client(ours, peers):
    made = []

    def of(target, authority="", plane=ours):
        made.append(Client(plane, peers, target, authority))
        return made[-1]
    yield of
    for one in made:
        one.stop()


def test_through_our_gateway(ours, client):
    assert client(f"ipv4:{ours.address}:{HTTP_PORT}", "http2.example").call().startswith("grpc-")


def test_through_envoy(envoy, client):
    assert client(f"ipv4:{envoy.address}:{HTTP_PORT}", "http2.example", envoy).call().startswith("grpc-")


def test_without_a_proxy(lab, ours, client):
    """xds:///name:port: both pods are called; one that comes is, too; one that goes is not, and no call fails."""
    one = client("xds:///grpc.default.svc.cluster.local:80")
    answers = {one.call(f"call {i}") for i in range(40)}
    assert answers == {p["metadata"]["name"] for p in lab.ready_pods("app=grpc")}
    lab.patch("/apis/apps/v1/namespaces/default/deployments/grpc", {"spec": {"replicas": 3}})
    new = {p["metadata"]["name"] for p in lab.wait_ready("app=grpc", 3)} - answers
    seen = []
    wait_until("the new pod is called", lambda: seen.append(one.call()) or seen[-1] in new)
    assert not [a for a in seen if a.startswith("failed")]
    assert "grpc~127.0.0.1~client.default~default.svc.cluster.local" in {s["proxy"] for s in ours.syncz()}


def test_a_service_that_comes_and_goes(lab, client):
    one = client("xds:///late.default.svc.cluster.local:80")
    assert one.call().startswith("failed "), "gRPC waits 15 s for a name that nobody knows"
    lab.apply(lab_harness.service("late", {"app": "grpc"}))
    wait_until("it is there", lambda: one.call().startswith("grpc-"), 20)
    lab.fairlead("delete", "services/late")
    wait_until("it has gone", lambda: "UNAVAILABLE" in one.call(), 20)
