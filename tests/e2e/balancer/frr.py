"""FRR of Debian, from a folder (make bgp; tests/conformance/build-peers.sh frr): its daemons in a network namespace, and their vty sockets."""
import os
import pathlib
import signal
import socket
import subprocess

from suite import ROOT, SLOW, wait_until

FRR = pathlib.Path(os.environ.get("PEERS", ROOT / "build/peers")) / "frr"
LIBRARIES = ":".join(str(FRR / d) for d in ("usr/lib/x86_64-linux-gnu/frr", "usr/lib/aarch64-linux-gnu/frr", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu",
                                            "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"))
# They want a user, a group and folders of their own: in a mount namespace of theirs.
OWN = """mount --bind "$1/group" /etc/group && mount --bind "$1/passwd" /etc/passwd && mount -t tmpfs run /run && mkdir /run/frr &&
mount -t tmpfs tmp /var/tmp && mkdir /var/tmp/frr && shift && exec "$@" """


def is_there():
    return (FRR / "usr/lib/frr/bgpd").exists()


class Vty:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10 * SLOW)
        self.socket.connect(str(path))

    def __enter__(self):
        self.say("enable")
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, command):
        """(how it ended, text)"""
        self.socket.sendall(command.encode() + b"\0")
        text = b""
        while not (len(text) >= 4 and text[-4:-1] == b"\0\0\0"):
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError(f"{command}: it has ended")
            text += part
        return text[-1], text[:-4].decode()


class Frr:
    """zebra, bgpd and bfdd of one namespace."""

    def __init__(self, namespace, directory):
        self.namespace, self.dir, self.running = namespace, directory, {}
        directory.mkdir()
        (directory / "group").write_text(pathlib.Path("/etc/group").read_text() + "frr:x:990:\nfrrvty:x:991:root\n")
        (directory / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + "frr:x:990:990::/:/bin/false\n")

    def start(self, *names):
        for name in names:
            more = ("--bfdctl", self.dir / "bfdd.sock") if name == "bfdd" else ()
            with open(self.dir / f"{name}.out", "ab") as out:
                self.running[name] = self.namespace.popen(
                    "unshare", "-m", "sh", "-c", OWN, "sh", self.dir, FRR / "usr/lib/frr" / name, "-u", "root", "-g", "root", "-z", self.dir / "zserv.api", "--vty_socket", self.dir,
                    "-i", self.dir / f"{name}.pid", "--log", f"file:{self.dir}/{name}.log", "-f", "/dev/null", "-P", "0", *more,
                    env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES}, stdout=out, stderr=out)
            wait_until(f"{name} of {self.namespace.name} answers", lambda name=name: self.answers(name), 20)
        return self

    def answers(self, name):
        try:
            with Vty(self.dir / f"{name}.vty"):
                return True
        except OSError:
            return False

    def stop(self, *names, hard=False):
        for name in names or list(self.running):
            process = self.running.pop(name)
            process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            try:
                process.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            (self.dir / f"{name}.vty").unlink(missing_ok=True)

    def say(self, *commands, daemon="bgpd"):
        """The text of the last one."""
        with Vty(self.dir / f"{daemon}.vty") as vty:
            for command in commands:
                status, text = vty.say(command)
                assert status == 0, (command, status, text)
            return text

    def configure(self, *lines, daemon="bgpd"):
        self.say("configure terminal", *lines, "end", daemon=daemon)

    def config(self, daemon="bgpd"):
        return self.say("show running-config", daemon=daemon)
