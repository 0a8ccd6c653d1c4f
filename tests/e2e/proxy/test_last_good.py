"""The last good configuration on disk: what is kept, a start without a control plane, and everything that may be wrong with the copy."""
import os
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
from ads_stage import ADS
from backend import Backend
from certificates import Authority
from conftest import Client
from control_plane import ControlPlane
from suite import BIN, SLOW, free_ports, wait_until
from test_dynamic import GET, answers, answers_at, static_cluster, status, table


class Kept:
    """A stage whose proxy keeps its configuration."""

    def __init__(self, stage):
        self.stage, self.dir = stage, stage.tmp_path / "state"
        self.file, self.flags = self.dir / "last-good", ["--state-dir", self.dir]

    def start(self, wait=True):
        self.stage.start(*self.flags, wait=wait)

    def kept(self, *texts):
        """The file holds them all."""
        wait_until(f"{texts} are kept", lambda: self.file.exists() and all(t.encode() in self.file.read_bytes() for t in texts))

    def kill(self):
        """Proxy and control plane."""
        self.stage.proxy.process.send_signal(signal.SIGKILL)
        self.stage.proxy.process.wait()
        self.stage.control.close()

    def log(self):
        return (self.stage.tmp_path / "proxy.log").read_text()


@pytest.fixture
def kept(stage):
    return Kept(stage)


@pytest.fixture
def other():
    b = Backend()
    yield b
    b.close()


def serve(kept, backend):
    kept.start()
    kept.stage.serve(backend)
    kept.kept("n1", "\x0a\x03all")  # the virtual host of the table, which came last


def test_a_start_without_a_control_plane(kept, backend):
    serve(kept, backend)
    assert stat.S_IMODE(os.stat(kept.file).st_mode) == 0o600 and stat.S_IMODE(os.stat(kept.dir).st_mode) == 0o700
    kept.kill()
    kept.start(wait=False)
    wait_until("it serves", lambda: answers(kept.stage.port))
    wait_until("it says so", lambda: "serving the configuration that was kept on disk" in kept.log())
    assert not [f for f in os.listdir(kept.dir) if f != "last-good"]


def test_the_control_plane_wins_when_it_is_back(kept, backend, other):
    """Nobody sees the change."""
    serve(kept, backend)
    port = kept.stage.control.port
    kept.kill()
    kept.start(wait=False)
    wait_until("it serves", lambda: answers(kept.stage.port))
    stop, bad = threading.Event(), []

    def load():
        c = Client(kept.stage.port)
        while not stop.is_set():
            got = c.ask(GET.format("/load"))
            if not got or got[0] != 200:
                bad.append(got)
                return

    thread = threading.Thread(target=load)
    thread.start()
    stage = kept.stage
    stage.control = control = ControlPlane(port)
    wait_until("it is asked", lambda: len(control.requests) == 4, timeout=40)
    assert [r["type"] for r in control.requests] == ["cds", "eds", "lds", "rds"]
    if control.delta:
        assert [r.get("initial_resource_versions") for r in control.requests] == [{"a": "1"}, {"a": "1"}, {"l": "1"}, {"routes": "1"}]
    else:
        assert [r.get("version_info", "") for r in control.requests] == [""] * 4, "everything is asked for, not what has changed since"
    new = {"b": static_cluster("b", other.port)}
    stage.say("cds", new, version="2", removed=["a"])
    stage.say("lds", {"l": stage.listener()}, version="2")
    stage.say("rds", {"routes": table("routes", ("/", "b"))}, version="2")
    wait_until("the new state serves", lambda: status(stage.port) == 200 and other.requests)
    stop.set()
    thread.join()
    assert not bad
    kept.kept('b')
    wait_until("the old cluster is not kept", lambda: assignment_is_gone(kept))


def assignment_is_gone(kept):
    return b"\x0a\x01a" not in kept.file.read_bytes()


def test_what_is_refused_is_not_kept_and_what_is_removed_goes(kept, backend):
    serve(kept, backend)
    stage = kept.stage
    answer = stage.say("cds", {"a": stage.eds_cluster("a"), "bad-one": {"name": "bad-one", "type": "EDS"}, "good-one": static_cluster("good-one", backend.port)}, version="2")
    assert "bad-one" in answer["error_detail"]["message"]
    kept.kept("good-one")
    assert b"bad-one" not in kept.file.read_bytes()
    stage.say("cds", {"a": stage.eds_cluster("a"), "next-one": static_cluster("next-one", backend.port)}, version="3", removed=["good-one"])
    kept.kept("next-one")
    assert b"good-one" not in kept.file.read_bytes()


DAMAGES = {
    "magic": (0, "no configuration that was kept"), "format": (8, "version 3 of the format"), "reserved": (12, "header does not fit"), "length": (16, "header does not fit"),
    "checksum": (24, "checksum"), "time": (32, "checksum"), "node": (46, "checksum"), "resource": (-40, "checksum"), "last": (-1, "checksum")}


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_a_copy_that_was_altered_is_refused_whole(kept, backend):
    serve(kept, backend)
    kept.kill()
    good = kept.file.read_bytes()
    for name, (at, message) in DAMAGES.items():
        bad = bytearray(good)
        bad[at] ^= 2
        longer = name == "length" and bad[at] & 2  # than the file is
        attempt(kept, bytes(bad), "it is cut" if longer else message, name)
    for n in (0, 7, 31, 32, 100, len(good) - 1):
        attempt(kept, good[:n], "it is cut", f"cut at {n}")
    attempt(kept, good + b"x", "header does not fit", "longer")
    kept.file.write_bytes(good)
    kept.start(wait=False)
    wait_until("the whole one serves", lambda: answers(kept.stage.port))


def attempt(kept, data, message, name):
    """It starts, says why, and has nothing of it."""
    kept.file.write_bytes(data)
    before = len(kept.log())
    kept.start(wait=False)
    wait_until(f"{name}: it says why", lambda: "is not used" in kept.log()[before:])
    assert message in kept.log()[before:], f"{name}: {kept.log()[before:]}"
    wait_until("it looks for its control plane", lambda: "no connection to the control plane" in kept.log()[before:])
    assert not answers_at(kept.stage.port, "/"), name
    kept.stage.proxy.process.kill()
    kept.stage.proxy.process.wait()
    assert kept.file.read_bytes() == data, "it is left for who wants to look"


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_a_copy_of_another_node_or_that_does_not_fit_the_bootstrap_is_refused(kept, backend):
    serve(kept, backend)
    kept.kill()
    good = kept.file.read_bytes()
    kept.stage.bootstrap["node"] = {"id": "n2", "cluster": "test"}
    attempt(kept, good, "it is of node 'n1' of cluster 'test', and this is 'n2' of 'test'", "node")
    kept.stage.bootstrap["node"] = {"id": "n1", "cluster": "production"}
    attempt(kept, good, "and this is 'n1' of 'production'", "cluster")
    kept.stage.bootstrap["node"] = {"id": "n1", "cluster": "test"}
    taken = kept.stage.listener(name="mine")
    taken["filter_chains"][0]["filters"][0]["typed_config"] = {k: v for k, v in taken["filter_chains"][0]["filters"][0]["typed_config"].items() if k != "rds"} | {
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]}]}}
    kept.stage.bootstrap["static_resources"]["listeners"] = [taken]
    before = len(kept.log())
    kept.file.write_bytes(good)
    kept.start(wait=False)
    wait_until("it says why", lambda: "is not used" in kept.log()[before:])
    assert "duplicate address" in kept.log()[before:]
    wait_until("its own listener serves", lambda: answers_418(kept.stage.port))


def answers_418(port):
    try:
        return status(port) == 418
    except OSError:
        return False


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
@pytest.mark.parametrize("secrets", [True, False])
def test_secrets_are_kept_unless_they_shall_not(kept, backend, tmp_path, secrets):
    stage, ca = kept.stage, Authority(tmp_path)
    cert = ca.issue("site", "DNS:site.example")
    key = cert[1].read_text()
    if not secrets:
        kept.flags.append("--state-no-secrets")
    kept.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    listener = stage.listener()
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "site-secret", "sds_config": ADS}]}}}
    stage.say("lds", {"l": listener})
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it asks for the secret", lambda: stage.control.of("sds"))
    stage.say("sds", {"site-secret": {"name": "site-secret", "tls_certificate": {"certificate_chain": {"inline_string": cert[0].read_text()}, "private_key": {"inline_string": key}}}})
    kept.kept("routes", "site-secret", *([key] if secrets else []))
    kept.kill()
    assert (key.encode() in kept.file.read_bytes()) == secrets
    kept.start(wait=False)
    if secrets:
        wait_until("it serves", lambda: shakes_hands(stage.port, ca))
    else:
        wait_until("it has what it has", lambda: "serving the configuration" in kept.log())
        assert not shakes_hands(stage.port, ca)
    assert "BEGIN" not in kept.log()


def shakes_hands(port, ca):
    from listeners import TlsClient
    try:
        return TlsClient(port, "site.example", ca.cert).ask(GET.format("/"))[0] == 200
    except (OSError, AssertionError):
        return False


@pytest.fixture
def small_disk(stage):
    """A file system of 64 KiB as the state directory."""
    path = stage.tmp_path / "state"
    path.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_a_full_or_read_only_disk_is_a_warning(kept, backend, small_disk):
    serve(kept, backend)
    stage, before = kept.stage, kept.file.read_bytes()
    ballast = os.open(small_disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError):
        while True:
            os.write(ballast, b"x" * 4096)
    os.close(ballast)
    stage.say("cds", {"full-disk": static_cluster("full-disk", backend.port)}, version="2")
    wait_until("it warns", lambda: "cannot be kept on disk" in kept.log())
    assert "No space left on device" in kept.log() and kept.file.read_bytes() == before, "the old one is whole"
    assert status(stage.port) == 200
    os.unlink(small_disk / "ballast")
    stage.say("cds", {"room-again": static_cluster("room-again", backend.port)}, version="3")
    kept.kept("room-again", "full-disk")
    wait_until("it says so", lambda: "kept on disk again" in kept.log())
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    stage.say("cds", {"read-only": static_cluster("read-only", backend.port)}, version="4")
    wait_until("it warns", lambda: "Read-only file system" in kept.log())
    assert status(stage.port) == 200
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_directories_that_will_not_do(kept, backend):
    """Others may write there: it does not start. In use, or not to be made: it goes on without."""
    stage = kept.stage
    kept.dir.mkdir()
    os.chmod(kept.dir, 0o777)
    path = stage.write()
    run = subprocess.run([BIN / "fairlead-proxy", "-c", path, *map(str, kept.flags)], capture_output=True, text=True, timeout=20 * SLOW)
    assert run.returncode == 64 and "others may write there" in run.stderr and "directory of its own" in run.stderr
    run = subprocess.run([BIN / "fairlead-proxy", "-c", path, "--validate", *map(str, kept.flags)], capture_output=True, text=True, timeout=20 * SLOW)
    assert run.returncode == 0, "looking at a file needs no directory"
    os.chmod(kept.dir, 0o700)
    serve(kept, backend)
    first, stage.proxy = stage.proxy, None
    kept.stage.start(*kept.flags, wait=False)
    wait_until("the second says so", lambda: "another process uses it" in kept.log())
    stage.proxy.process.kill()
    stage.proxy.process.wait()
    stage.proxy = first


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_what_has_just_changed_is_kept_at_the_end(kept, backend):
    serve(kept, backend)
    kept.stage.say("cds", {"at-the-end": static_cluster("at-the-end", backend.port)}, version="2")
    kept.stage.proxy.stop()
    assert b"at-the-end" in kept.file.read_bytes()


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_a_copy_that_others_may_have_written_is_refused(kept, backend):
    serve(kept, backend)
    kept.kill()
    good = kept.file.read_bytes()
    for what, do in (("mode", lambda: os.chmod(kept.file, 0o620)), ("owner", lambda: os.chown(kept.file, 12345, -1))):
        do()
        attempt(kept, good, "only this user may write", what)
        os.chmod(kept.file, 0o600)
    os.chown(kept.file, 0, -1)
    os.chown(kept.dir, 12345, -1)
    run = subprocess.run([BIN / "fairlead-proxy", "-c", kept.stage.write(), *map(str, kept.flags)], capture_output=True, text=True, timeout=20 * SLOW)
    assert run.returncode == 64 and "others may write there" in run.stderr
    os.chown(kept.dir, 0, -1)
    kept.file.rename(kept.dir / "other")
    kept.file.symlink_to(kept.dir / "other")
    before = len(kept.log())
    kept.start(wait=False)
    wait_until("a link is not followed", lambda: "is not used" in kept.log()[before:])


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_what_waits_is_not_written_before_it_is_in_force(kept, backend):
    serve(kept, backend)
    stage = kept.stage
    waiting = stage.listener(free_ports(1)[0], "waiting-listener")
    waiting["filter_chains"][0]["filters"][0]["typed_config"]["rds"]["route_config_name"] = "waiting-table"
    stage.say("lds", {"waiting-listener": waiting}, version="2")
    end = time.monotonic() + 1.5 * SLOW  # longer than a change waits to be written
    while time.monotonic() < end:
        assert b"waiting-listener" not in kept.file.read_bytes()
    stage.say("rds", {"waiting-table": table("waiting-table", ("/", "a"))})
    kept.kept("waiting-listener", "waiting-table")


@pytest.mark.parametrize("stage", ["delta"], indirect=True)
def test_an_address_that_is_taken_at_the_start_is_told_and_asked_for_again(kept, backend):
    serve(kept, backend)
    port = kept.stage.control.port
    kept.kill()
    stage = kept.stage
    with socket.create_server(("127.0.0.1", stage.port)):
        stage.control = control = ControlPlane(port)
        kept.start()
        wait_until("listeners are asked for", lambda: control.of("lds"))
        assert "Address already in use" in kept.log() and "not all of it can be used" in kept.log()
        held = {r["type"]: r.get("initial_resource_versions") for r in reversed(control.requests)}
        assert held["cds"] == {"a": "1"} and not held["lds"], "what is not had is not said to be"
    assert "error_detail" not in stage.say("lds", {"l": stage.listener()})
    wait_until("its table is asked for", lambda: control.of("rds"))
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it serves", lambda: answers(stage.port))
