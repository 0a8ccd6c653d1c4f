"""What a running proxy tells, in Envoy's words."""
import json
import signal

import pytest
from conftest import Client, Proxy
from listeners import address, chain, cluster, http
from suite import BIN, free_ports, run, wait_until


@pytest.fixture
def stage(tmp_path, backend):
    port, admin, dead = free_ports(3)
    path = tmp_path / "bootstrap.json"
    config = {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [chain(http(cluster="backend"))]}],
        "clusters": [cluster([backend.port], circuit_breakers={"thresholds": [{"max_requests": 7}]}),
                     {"name": "states", "load_assignment": {"cluster_name": "states", "endpoints": [{"locality": {"zone": "z1"}, "lb_endpoints": [
                         {"endpoint": {"address": address(dead)}, "health_status": "DRAINING", "load_balancing_weight": 3}]}]}}]}}
    path.write_text(json.dumps(config))
    proxy = Proxy(tmp_path, "-c", path, "--drain", "5s", port=port)
    yield proxy, port, admin, dead
    backend.release.set()
    proxy.stop()


def ask(admin, path, method="GET"):
    c = Client(admin)
    status, fields, body = c.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    c.close()
    return status, body.decode(), fields


def test_what_there_is(stage, backend):
    _, port, admin, dead = stage
    assert ask(admin, "/ready")[:2] == (200, "LIVE\n")
    info = json.loads(ask(admin, "/server_info")[1])
    assert info["state"] == "LIVE" and info["command_line_options"] == {"concurrency": 1}
    assert ask(admin, "/listeners")[1] == f"l::127.0.0.1:{port}\n"
    assert int(json.loads(ask(admin, "/memory")[1])["allocated"]) >= 0  # a sanitizer's own allocator tells nothing
    lines = ask(admin, "/clusters")[1].splitlines()
    for line in (f"backend::127.0.0.1:{backend.port}::health_flags::healthy", "backend::default_priority::max_requests::7",
                 "backend::high_priority::max_requests::1024", f"backend::127.0.0.1:{backend.port}::weight::1",
                 f"states::127.0.0.1:{dead}::health_flags::/eds_status_draining", f"states::127.0.0.1:{dead}::weight::3", f"states::127.0.0.1:{dead}::zone::z1"):
        assert line in lines
    status, body, _ = ask(admin, "/nope")
    assert status == 404 and body.startswith("invalid path. admin commands are:\n") and "/ready" in body
    status, body, _ = ask(admin, "/quitquitquit")
    assert (status, body) == (405, "Method GET not allowed, POST required.")


def test_draining(stage, backend):
    proxy, port, admin, _ = stage
    c = Client(port)
    c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("it is asked", lambda: backend.requests)
    proxy.process.send_signal(signal.SIGTERM)
    wait_until("it drains", lambda: ask(admin, "/ready")[:2] == (503, "DRAINING\n"))
    backend.release.set()
    assert c.answer()[2] == b"waited"


def test_quit(stage):
    proxy, _, admin, _ = stage
    assert ask(admin, "/quitquitquit", "POST")[:2] == (200, "OK\n")
    assert proxy.process.wait(20) == 0


@pytest.mark.parametrize("where", ["0.0.0.0", "10.0.0.1", "::"])
def test_only_on_loopback(tmp_path, where):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(9901, where)}}))
    done = run(BIN / "fairlead-proxy", "--validate", "-c", path, check=False)
    assert done.returncode == 64 and "admin.address" in done.stderr
