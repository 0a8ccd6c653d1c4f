"""What must survive: kill -9 at any moment, slow watchers, many watchers, big lists."""
import http.client
import json
import os
import random
import signal
import threading
import time

from api_server import Server, service

CM = "/api/v1/namespaces/default/configmaps"


class Writer(threading.Thread):
    """Writes without pause and remembers what was acknowledged."""

    def __init__(self, server, first):
        super().__init__(daemon=True)
        self.first = first
        self.server, self.state, self.halt, self.versions, self.pending = server, {}, False, [], None

    def run(self):
        n = self.first  # never the same value twice: a change that changes nothing would get no new version
        conn = None
        while not self.halt:
            n += 1
            name = f"c{random.randrange(30)}"
            present = self.state.get(name) is not None
            verb = random.choice(["put", "delete"]) if present else "create"
            self.pending = (name, verb, n)
            try:
                conn = conn or self.server.connect(5)
                body = {"metadata": {"name": name}, "data": {"n": str(n)}}
                if verb == "create":
                    r = self.server.call("POST", CM, body, conn=conn)
                elif verb == "put":
                    r = self.server.call("PUT", f"{CM}/{name}", body, conn=conn)
                else:
                    r = self.server.call("DELETE", f"{CM}/{name}", conn=conn)
            except (OSError, http.client.HTTPException, ValueError):
                conn = None
                return
            if r.status >= 300:
                raise AssertionError(f"{verb} {name}: {r.status} {r.body}")
            self.state[name] = None if verb == "delete" else str(n)
            if verb != "delete":
                self.versions.append(int(r.json["metadata"]["resourceVersion"]))
            self.pending = None


def outcome_fits(have, acknowledged, pending):
    """have: data.n or None. The one unanswered write may have happened or not."""
    if have == acknowledged:
        return True
    return pending is not None and have == (None if pending[1] == "delete" else str(pending[2]))


def test_kill_nine_loses_no_acknowledged_write(tmp_path):
    kills = int(os.environ.get("FAIRLEAD_KILLS", "200"))
    server = Server(tmp_path, ephemeral=False)
    state, newest, writes = {}, 0, 0
    for i in range(kills):
        server.start()
        found = {o["metadata"]["name"]: o["data"]["n"] for o in server.get(CM).json["items"]}
        assert int(server.get(CM).json["metadata"]["resourceVersion"]) >= newest
        w = Writer(server, i * 100_000)
        w.state = {**{n: None for n in state}, **found}
        w.start()
        time.sleep(random.uniform(0.0, 0.05))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        w.halt = True
        w.join(10)
        state, writes = dict(w.state), writes + len(w.versions)
        if w.versions:
            assert min(w.versions) > newest, "a resourceVersion was used twice"
            newest = max(w.versions)
        pending = w.pending
        server.start()
        found = {o["metadata"]["name"]: o["data"]["n"] for o in server.get(CM).json["items"]}
        for name in set(state) | set(found) | ({pending[0]} if pending else set()):
            fits = outcome_fits(found.get(name), state.get(name), pending if pending and pending[0] == name else None)
            assert fits, f"kill {i}: {name} is {found.get(name)}, acknowledged {state.get(name)}, pending {pending}"
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        state = found
    assert writes > kills, f"only {writes} writes in {kills} runs"


def test_slow_watcher_gets_everything_or_410(make_server):
    server = make_server()
    big = "x" * 200_000
    server.post(CM, {"metadata": {"name": "a"}, "data": {"v": big}})
    w = server.watch(CM + "?watch=1", timeout=30)
    assert w.next()["type"] == "ADDED"
    conn = server.connect()
    for i in range(150):  # 30 MB, while the watcher does not read
        server.call("PATCH", CM + "/a", json.dumps({"data": {"n": str(i)}}), type="application/merge-patch+json", conn=conn)
    seen = [w.next()["object"]["data"]["n"] for _ in range(150)]
    assert seen == [str(i) for i in range(150)]
    w.close()


def test_initial_list_of_a_watch_is_complete(make_server):
    server = make_server()
    conn = server.connect()
    for i in range(300):
        server.call("POST", CM, {"metadata": {"name": f"c{i:03}"}, "data": {"v": "y" * 20_000}}, conn=conn)
    w = server.watch(CM + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    time.sleep(0.2)
    server.call("DELETE", CM + "/c007", conn=conn)
    events = w.until("BOOKMARK")
    assert [e["object"]["metadata"]["name"] for e in events[:-1]] == [f"c{i:03}" for i in range(300)]
    e = w.next()
    assert (e["type"], e["object"]["metadata"]["name"]) == ("DELETED", "c007")
    w.close()


def test_allocations_survive_a_restart(make_server):
    server = make_server(ephemeral=False)
    url = "/api/v1/namespaces/default/services"
    a = server.post(url, service("a", type="NodePort")).json["spec"]
    server.stop()
    server.start()
    r = server.post(url, service("b", type="NodePort", ports=[{"port": 1, "nodePort": a["ports"][0]["nodePort"]}]))
    assert r.status == 422
    assert server.post(url, service("c", clusterIP=a["clusterIP"])).status == 422
