#!/usr/bin/env python3
"""Figures of the API server alone: list of 10,000 objects, 100 watchers at 1,000 changes a second, idle watchers, writes.

    bench/apiserver/bench.py [--objects 10000] [--watchers 100] [--rate 1000] [--seconds 10] [--runs 5]

Starts the server of the build directory (FAIRLEAD_BUILD_DIR, default build/) on a loopback port, with TLS and a bearer token,
in memory unless --data-dir is given. CPU and memory are those of the server process, from /proc. Prints a table."""
import argparse
import json
import os
import pathlib
import select
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e" / "api"))
from conftest import TOKEN, Server  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
CM = "/api/v1/namespaces/default/configmaps"


def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICK


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def encodes(server):
    return sum(int(l.split()[-1]) for l in server.get("/metrics").body.decode().splitlines()
               if l.startswith("fairlead_lab_watch_encodes_total"))


def fill(server, n):
    conn = server.connect()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": "web"}},
           "spec": {"containers": [{"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}],
                                    "env": [{"name": "A", "value": "b"}]}]}}
    begin, begin_cpu = time.monotonic(), cpu(server.process.pid)
    for i in range(n):
        pod["metadata"]["name"] = f"p{i:06}"
        r = server.call("POST", "/api/v1/namespaces/default/pods", pod, conn=conn)
        assert r.status == 201, r.body
    return n / (time.monotonic() - begin), (cpu(server.process.pid) - begin_cpu) / n * 1e6


def lists(server, runs, accept=None):
    conn = server.connect()
    took = []
    for _ in range(runs):
        begin = time.monotonic()
        r = server.call("GET", "/api/v1/pods", headers={"Accept": accept} if accept else {}, conn=conn)
        took.append((time.monotonic() - begin) * 1000)
    return statistics.median(took), len(r.body)


class Readers:
    """All watchers in one child process: reads and counts events, so that writing and reading do not share a Python."""

    def __init__(self, watches, want):
        self.out, child = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(child)
            return
        os.write(child, str(self.read([w.conn.sock for w in watches], want)).encode())
        os._exit(0)

    @staticmethod
    def read(socks, want):
        p, events, last = select.epoll(), 0, time.monotonic()
        by_fd = {s.fileno(): s for s in socks}
        for fd, s in by_fd.items():
            s.setblocking(False)
            p.register(fd, select.EPOLLIN)
        while events < want and time.monotonic() - last < 5:
            for fd, _ in p.poll(0.2):
                try:
                    while data := by_fd[fd].recv(1 << 16):
                        events += data.count(b'{"type":')
                        last = time.monotonic()
                except OSError:
                    pass
        return events

    def result(self):
        text = os.read(self.out, 64)
        os.waitpid(self.pid, 0)
        return int(text)


def fork_writer(server, name, rate, count):
    """A process that changes one object at a steady rate."""
    pid = os.fork()
    if pid:
        return pid
    conn, begin = server.connect(), time.monotonic()
    for n in range(count):
        due = begin + n / rate
        time.sleep(max(0, due - time.monotonic()))
        body = {"metadata": {"name": name}, "data": {"n": str(n), "pad": "x" * 400}}
        r = server.call("PUT", f"{CM}/{name}", body, conn=conn)
        assert r.status == 200, r.body
    os._exit(0)


def watch_load(server, watchers, rate, seconds, writers):
    rv = server.get(CM + "?limit=1").json["metadata"]["resourceVersion"]
    ws = [server.watch(CM + f"?watch=1&resourceVersion={rv}&allowWatchBookmarks=true", timeout=60) for _ in range(watchers)]
    readers = Readers(ws, rate * seconds * watchers)
    e0, c0, begin = encodes(server), cpu(server.process.pid), time.monotonic()
    children = [fork_writer(server, f"hot{i}", rate / writers, rate * seconds // writers) for i in range(writers)]
    for pid in children:
        os.waitpid(pid, 0)
    n = rate * seconds // writers * writers
    took = time.monotonic() - begin
    used = cpu(server.process.pid) - c0
    events = readers.result()
    enc = encodes(server) - e0
    result = dict(rate=n / took, cpu=used / took * 100, rss=rss_kib(server.process.pid), events=events, want=n * watchers,
                  encodes=enc, changes=n)
    for w in ws:
        w.close()
    return result


def idle_watchers(server, n):
    before = rss_kib(server.process.pid)
    ws = [server.watch("/api/v1/nodes?watch=1&allowWatchBookmarks=true", timeout=60) for _ in range(n)]
    time.sleep(1)
    after = rss_kib(server.process.pid)
    for w in ws:
        w.close()
    return (after - before) / n


def main():
    a = argparse.ArgumentParser()
    for flag, default in (("objects", 10000), ("watchers", 100), ("rate", 1000), ("seconds", 10), ("runs", 5), ("idle", 500), ("writers", 4)):
        a.add_argument(f"--{flag}", type=int, default=default)
    a.add_argument("--disk", action="store_true", help="store in a file instead of memory")
    o = a.parse_args()
    with tempfile.TemporaryDirectory() as d:
        server = Server(d, ephemeral=not o.disk).start()
        try:
            pid = server.process.pid
            print(f"start: {rss_kib(pid)} KiB resident")
            print(f"idle watcher: {idle_watchers(server, o.idle):.1f} KiB each ({o.idle} of them, TLS included)")
            for i in range(o.writers):
                server.post(CM, {"metadata": {"name": f"hot{i}"}, "data": {"n": ""}})
            rate, each = fill(server, o.objects)
            print(f"create: {rate:.0f} pods/s on one connection, {each:.0f} us CPU each; then {rss_kib(pid)} KiB resident")
            ms, size = lists(server, o.runs)
            print(f"list of {o.objects} pods: {ms:.1f} ms, {size / 1e6:.1f} MB (median of {o.runs})")
            ms, size = lists(server, o.runs, "application/json;as=Table;v=v1;g=meta.k8s.io")
            print(f"list of {o.objects} pods as Table: {ms:.1f} ms, {size / 1e6:.1f} MB (median of {o.runs})")
            w = watch_load(server, o.watchers, o.rate, o.seconds, o.writers)
            print(f"{o.watchers} watchers at {w['rate']:.0f} changes/s: {w['cpu']:.0f} % of one core, {w['rss']} KiB resident, "
                  f"{w['events']}/{w['want']} events told, "
                  f"{w['encodes']} encodes for {w['changes']} changes")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
