"""The corpus of requests, sent to a real kube-apiserver and to ours: status, reason and causes are the same, but where a case says why not.

Part of `make conform`.
"""
import pytest

from api_server import Server
from corpus.cases import NS, all_cases
from real_server import RealServer, need

need("kube-apiserver", "etcd-server")
CASES = all_cases()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    both = []
    try:
        for cls in (RealServer, Server):
            s = cls(tmp_path_factory.mktemp(cls.__name__)).start()
            both.append(s)
            assert s.post("/api/v1/namespaces", {"metadata": {"name": NS}}).status == 201
            # what a controller makes in a whole cluster
            assert s.post(f"/api/v1/namespaces/{NS}/serviceaccounts", {"metadata": {"name": "default"}}).status == 201
        yield both
    finally:
        for s in both:
            s.stop()


def outcome(reply):
    if reply.status < 400 or not reply.body:
        return reply.status, None, frozenset()
    if not reply.body.startswith(b"{"):
        return reply.status, None, frozenset()
    body = reply.json
    causes = body.get("details", {}).get("causes", [])
    return reply.status, body.get("reason", ""), frozenset((c["field"], c.get("reason")) for c in causes if "field" in c)


def play(server, case):
    """(outcome, what was said) of each step; what the case made is gone afterwards."""
    said, conn = [], server.connect()
    for step in case.steps:
        r = server.call(step.method, step.path, step.body, type=step.type if step.body is not None else None, conn=conn, headers=step.headers)
        said.append((outcome(r), r.json.get("message", "") if r.status >= 400 and r.body[:1] == b"{" else ""))
        if r.status == 201 and step.made and not step.made.endswith("/" + r.json["metadata"]["name"]):
            server.delete(step.made.rsplit("/", 1)[0] + "/" + r.json["metadata"]["name"], conn=conn)
    for path in {s.made for s in case.steps if s.made}:
        server.patch(path, {"metadata": {"finalizers": None}}, conn=conn)
        server.delete(path + "?gracePeriodSeconds=0", conn=conn)
    conn.close()
    return said


def test_there_are_enough():
    assert len(CASES) >= 200
    names = [c.what for c in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.what.replace(" ", "-"))
def test_same_answer(pair, case):
    real, ours = (play(s, case) for s in pair)
    told = "\n".join(f"{step}\n  real {r[0]} {r[1]}\n  ours {o[0]} {o[1]}" for step, r, o in zip(case.steps, real, ours))
    same = [r[0] for r in real] == [o[0] for o in ours]
    if case.differs:
        assert not same, f"it does not differ any more: {case.differs}\n{told}"
    else:
        assert same, told
