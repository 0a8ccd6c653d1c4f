"""What every suite needs: the programs under test, how much slower they are than usual, running commands, waiting."""
import os
import pathlib
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FAIRLEAD_BIN", ROOT / "build" / "bin")).absolute()
FAIRLEAD, LABD, ECHO = (str(BIN / name) for name in ("fairlead", "fairlead-labd", "fairlead-echo"))
SLOW = 5 if os.environ.get("FAIRLEAD_SANITIZED") else 1


def run(*argv, check=True, stdin=None, timeout=60, env=None):
    """Runs a command; its stdout, or all of it with check=False. A failure shows both streams."""
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=timeout * SLOW, env=env)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done


def wait_until(what, fn, timeout=10):
    """Calls fn until it returns something true; that value. Never a fixed sleep."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"timed out waiting until {what} (last: {value!r})")
        time.sleep(0.02)


def free_ports(n, kind=socket.SOCK_STREAM):
    """Ports of 127.0.0.1 that nobody has."""
    sockets = [socket.socket(socket.AF_INET, kind) for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
