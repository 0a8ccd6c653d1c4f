"""Machines of a cluster on this one: namespaces whose first process is machine.sh, joined by a link of their own. Nothing of the host is touched but cgroups below our own."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from suite import run, wait_until

HERE = pathlib.Path(__file__).resolve().parent


def own_cgroups():
    """(folder, controllers) of each hierarchy of version 1, of which the folder is where we are."""
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        folder = pathlib.Path("/sys/fs/cgroup") / controllers.removeprefix("name=") / path.lstrip("/")
        if controllers and folder.is_dir():
            yield folder, controllers


def sweep():
    """What runs that were killed have left."""
    for where, _ in own_cgroups():
        for folder in where.glob("fairlead-*-node-*"):
            if not os.path.exists(f"/proc/{folder.name.split('-')[1]}"):
                remove_cgroup(folder)
    for folder in pathlib.Path(tempfile.gettempdir()).glob("fairlead-cluster-*-*"):
        if not os.path.exists(f"/proc/{folder.name.split('-')[2]}"):
            shutil.rmtree(folder)


class Machine:
    def __init__(self, name, folder):
        self.name, self.folder = name, pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.cgroups = []
        self.processes = {}
        if not any(controllers == "memory" for _, controllers in own_cgroups()):
            raise RuntimeError("no cgroups of version 1 here: machines of a host with version 2 alone are not written yet (tests/cluster/README.md)")
        for where, controllers in own_cgroups():
            made = where / f"fairlead-{os.getpid()}-{name}"
            made.mkdir()
            self.cgroups.append(made)
            if controllers == "cpuset":
                for kind in ("cpus", "mems"):
                    (made / f"cpuset.{kind}").write_text((where / f"cpuset.{kind}").read_text())
                (made / "cgroup.clone_children").write_text("1")
        self.log = open(self.folder / "machine.log", "ab")
        # Whoever made it dies: it does, too.
        self.outer = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "bash", str(HERE / "machine.sh"), str(self.folder)],
                                      preexec_fn=self._join, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(f"machine {name} is ready", lambda: (self.folder / "ready").exists() or self._ended(self.outer, "machine"), 20)
        self.pid = int(pathlib.Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()[0])
        self.run("hostname", name)

    def _join(self):
        for folder in self.cgroups:
            (folder / "cgroup.procs").write_text("0")

    def _ended(self, process, name):
        if process.poll() is not None:
            raise RuntimeError(f"{self.name}: {name} ended with {process.returncode}: see {self.folder}/{name}.log\n" + (self.folder / f"{name}.log").read_text(errors="replace")[-3000:])
        return False

    def command(self, *argv):
        """How to run it in here. It begins in the cgroup of whoever runs it: start() puts it into ours."""
        return ["nsenter", "-t", str(self.pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--", *map(str, argv)]

    def run(self, *argv, **kw):
        return run(*self.command(*argv), **kw)

    def start(self, name, *argv, env=None):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen(self.command(*argv), preexec_fn=self._join, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env={k: v for k, v in (os.environ | (env or {})).items() if not k.lower().endswith("_proxy")})
        log.close()
        return self.processes[name]

    def check(self):
        """False; raises if something that was started has ended: what is waited for would not come."""
        for name, process in self.processes.items():
            self._ended(process, name)
        return False

    def end(self):
        """All that runs in it, with it."""
        if self.outer.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        for process in [self.outer, *self.processes.values()]:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
        for folder in self.cgroups:
            remove_cgroup(folder)


def remove_cgroup(folder):
    """With all below it. What has just ended may be counted a moment longer."""
    for inner, _, _ in os.walk(folder, topdown=False):
        for _ in range(100):
            try:
                os.rmdir(inner)
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise RuntimeError(f"{inner} is still in use: {pathlib.Path(inner, 'cgroup.procs').read_text()}")


def link(a, b, network):
    """A cable between two machines: eth0 of each, .1 and .2 of the network (/24)."""
    run("ip", "link", "add", "eth0", "netns", a.pid, "type", "veth", "peer", "name", "eth0", "netns", b.pid)
    for i, machine in enumerate((a, b), 1):
        machine.address = f"{network}.{i}"
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "route", "add", "default", "dev", "eth0")
