"""gRPC's own clients: through a gateway, and without any, by xDS from the control plane."""
import os
import pathlib
import sys

import pytest
from plane import HTTP_PORT
from suite import SLOW

PROGRAM = pathlib.Path(__file__).parent / "grpc_service.py"


def call(lab, node, peers, target, authority="", times=1, **env):
    lines = lab.in_netns(node, "env", f"PYTHONPATH={peers / 'python'}", *(f"{k}={v}" for k, v in env.items()), sys.executable, PROGRAM, "call", target, authority, times, check=False)
    assert lines.returncode == 0, lines.stderr[-3000:]
    return [line.split(" ", 1) for line in lines.stdout.splitlines()]


@pytest.mark.parametrize("gateway", ["ours", "envoy"])
def test_through_a_gateway(request, ours, envoy, peers, gateway):
    plane = request.getfixturevalue(gateway)
    ((name, said),) = call(plane.lab, plane.node, peers, f"ipv4:{plane.address}:{HTTP_PORT}", "http2.example")
    assert name.startswith("grpc-") and said == "hello 0"
