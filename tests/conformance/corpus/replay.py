"""Sends cases to a server, and what the real one answered when it was last asked (recorded.json)."""
import json
import pathlib
import time

from .cases import NS
from .custom import CRDS, GROUP

RECORDED = pathlib.Path(__file__).parent / "recorded.json"


def prepare(server):
    assert server.post("/api/v1/namespaces", {"metadata": {"name": NS}}).status == 201
    # what a controller makes in a whole cluster
    assert server.post(f"/api/v1/namespaces/{NS}/serviceaccounts", {"metadata": {"name": "default"}}).status == 201
    for crd in CRDS:
        assert server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).status == 201
    deadline = time.monotonic() + 60
    for crd in CRDS:  # a real server begins to serve them a while later
        for v in crd["spec"]["versions"]:
            while server.get(f"/apis/{GROUP}/{v['name']}/{crd['spec']['names']['plural']}").status != 200:
                assert time.monotonic() < deadline, crd["metadata"]["name"]


def applied_fields(reply):
    """managedFields and what they speak of, if somebody applied it: who, how, which fields; no times."""
    try:
        o = reply.json
    except ValueError:  # events of a watch, text
        return None
    if not isinstance(o, dict):
        return None
    entries = o.get("metadata", {}).get("managedFields", []) if "items" not in o else []
    if not any(e["operation"] == "Apply" for e in entries):
        return None
    return [[e["manager"], e["operation"], e.get("subresource", ""), json.dumps(e["fieldsV1"], sort_keys=True)] for e in sorted(
        entries, key=lambda e: (e["operation"], e["manager"], e.get("subresource", "")))]


def outcome(reply):
    """Status code, reason, causes (field and reason) in order of their names; of what is done, the warnings."""
    if reply.status < 400:
        managed = applied_fields(reply)
        return [reply.status, None, sorted(reply.warnings())] + ([managed] if managed else [])
    if not reply.body.startswith(b"{"):
        return [reply.status, None, []]
    body = reply.json
    causes = body.get("details", {}).get("causes", [])
    return [reply.status, body.get("reason", ""), sorted({(c["field"], c.get("reason", "")) for c in causes if "field" in c})]


def play(server, case):
    """Outcome and message of each step; what the case made is gone afterwards."""
    said, conn = [], server.connect()
    for step in case.steps:
        r = server.call(step.method, step.path, step.body, type=step.type if step.body is not None else None, conn=conn, headers=step.headers)
        said.append((outcome(r), r.json.get("message", "") if r.status >= 400 and r.body[:1] == b"{" else ""))
        if r.status == 201 and step.made and not step.made.endswith("/" + r.json["metadata"]["name"]):
            server.delete(step.made.rsplit("/", 1)[0] + "/" + r.json["metadata"]["name"], conn=conn)
    for path in {s.made for s in case.steps if s.made}:
        server.patch(path, {"metadata": {"finalizers": None}}, conn=conn)
        server.delete(path + "?gracePeriodSeconds=0", conn=conn)
        deadline = time.monotonic() + 60
        while "customresourcedefinitions" in path and server.get(path, conn=conn).status != 404:  # it is emptied first
            assert time.monotonic() < deadline, path
    conn.close()
    return said


def plain(outcomes):
    """As JSON keeps it."""
    return json.loads(json.dumps(outcomes))


def recorded():
    return json.loads(RECORDED.read_text())["cases"]


def record(version, cases):
    lines = ",\n".join(f"  {json.dumps(what)}: {json.dumps(outcomes)}" for what, outcomes in sorted(cases.items()))
    RECORDED.write_text(f'{{"kubernetes": {json.dumps(version)}, "cases": {{\n{lines}\n}}}}\n')
