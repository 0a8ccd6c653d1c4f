"""The proxy gives up what it never asks for: by what the kernel says of its threads, and by the flag that turns it off. What is refused: tests/unit/base/test_sandbox.c."""
import os

import pytest
from conftest import Client, Proxy
from suite import wait_until

sanitized = pytest.mark.skipif(bool(os.environ.get("FAIRLEAD_SANITIZED")), reason="no sanitizer can live in it")


def threads(pid):
    """(seccomp's mode, no new privileges) of each."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        fields = dict(line.split(":\t") for line in open(f"/proc/{pid}/task/{thread}/status").read().splitlines() if ":\t" in line)
        yield fields["Seccomp"], fields["NoNewPrivs"]


def served(proxy):
    client = Client(proxy.port)
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return client.answer()[0]


@sanitized
def test_every_thread_has_the_filter_and_serves(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--concurrency", "3")
    assert served(p) == 200
    wait_until("all threads are there", lambda: len(os.listdir(f"/proc/{p.process.pid}/task")) == 4)  # the first serves before the last is
    assert list(threads(p.process.pid)) == [("2", "1")] * 4
    p.stop()


@sanitized
def test_the_flag_turns_it_off_and_the_log_says_so(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--no-seccomp")
    assert served(p) == 200
    assert list(threads(p.process.pid)) == [("0", "0")] * 2
    p.stop()
    assert "no system call is refused" in open(p.log.name).read()
