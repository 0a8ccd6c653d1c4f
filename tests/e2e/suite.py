"""What every suite needs: the programs under test, how much slower they are than usual, running commands, waiting."""
import fcntl
import os
import pathlib
import random
import socket
import subprocess
import tempfile
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


def claims():
    """A file of which each test process locks the bytes that are its ports' numbers."""
    if not hasattr(claims, "file"):
        claims.file = open(pathlib.Path(tempfile.gettempdir()) / "fairlead-test-ports", "ab")
        claims.taken = set()
    return claims.file


def claim_port(port):
    """True: nobody else is given the port while this process lives: what listens with SO_REUSEPORT would share it with another test's in silence."""
    file = claims()
    if port in claims.taken:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    claims.taken.add(port)
    return True


def free_ports(n, kind=socket.SOCK_STREAM):
    """Ports of 127.0.0.1 that nobody has, and that nobody else is given. They are below those that the kernel gives to whoever connects: of these, some other test's connection
    could take one before it is listened at."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        end = int(f.read().split()[0])
    ports = []
    while len(ports) < n:
        port = random.randrange(10000, end)
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if claim_port(port):
            ports.append(port)
    return ports
