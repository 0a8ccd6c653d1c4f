"""All that the control plane gives passes go-control-plane's ValidateAll, in types that know each of its fields."""
import json
import subprocess

import corpus
import pytest
import yaml
from plane import Plane
from suite import ROOT, SLOW, wait_until

# Each is applied whole and taken away again, while a client watches.
FILES = sorted([*ROOT.glob("tests/model/ingress_*/input.yaml"), *ROOT.glob("examples/ingress/*/*.yaml")])


@pytest.fixture(scope="module")
def plane(cluster, tmp_path_factory):
    plane = Plane(cluster, "node-1", tmp_path_factory.mktemp("validated"))
    yield plane
    plane.stop()


def start(plane, peers, mode, *flags):
    return subprocess.Popen(["ip", "netns", "exec", plane.lab.netns(plane.node), peers / "validate", "-mode", mode, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def result(process):
    out, _ = process.communicate(timeout=60 * SLOW)
    assert process.returncode in (0, 2), out
    told = json.loads(out)
    assert not told["wrong"], "\n".join(told["wrong"][:20])
    return told


def has_all(told):
    """Each part of what is made of the corpus has been seen."""
    for part in ("http_connection_manager", "cors", "stateful_session", "custom_response", "redirect_policy", "tcp_proxy", "tls_inspector", "UpstreamTlsContext", "DownstreamTlsContext",
                 "HttpProtocolOptions", "PreviousHostsPredicate", "HeaderMutation", "StdoutAccessLog"):
        assert any(part in name for name in told["messages"]), (part, told["messages"])


@pytest.mark.parametrize("mode", ["delta", "sotw"])
def test_a_client_takes_everything(plane, peers, mode):
    told = result(start(plane, peers, mode))
    print(mode, "at once:", told["responses"], "responses,", told["seen"], sum(told["messages"].values()), "messages of", len(told["messages"]), "types")
    has_all(told)


@pytest.mark.parametrize("mode", ["delta", "sotw"])
def test_what_clients_of_grpc_are_given(plane, peers, mode):
    told = result(start(plane, peers, mode, "-generator", "grpc"))
    print(mode, "of gRPC:", told["responses"], "responses,", told["seen"], sum(told["messages"].values()), "messages of", len(told["messages"]), "types")
    assert {"web.default.svc.cluster.local:80", "grpc.default.svc.cluster.local:80"} <= set(told["names"]["Listener"]) and not told["names"]["Secret"]
    assert len(told["names"]["Listener"]) == len(told["names"]["Cluster"]) == len(told["names"]["ClusterLoadAssignment"])


@pytest.mark.parametrize("mode", ["delta", "sotw"])
def test_a_client_follows(plane, peers, mode):
    """Clients stay while files come and go."""
    process, refused = start(plane, peers, mode, "-follow"), 0
    for n, file in enumerate(FILES):
        kinds = ("Ingress", "Service", "EndpointSlice", "Secret", "ConfigMap", "IngressClass")
        objects = [o for o in yaml.safe_load_all(file.read_text()) if o and o["kind"] in kinds]
        namespaces = {o["metadata"].get("namespace") for o in objects} - {None, "default"}
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)] + objects
        done = plane.lab.fairlead("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), check=False)
        errors = [line for line in done.stderr.splitlines() if line.startswith(("Error", "error"))]
        refused += len(errors)
        assert all("(Invalid)" in line for line in errors), errors
        settled(plane, n)
        names = [f"{o['kind'].lower()}/{o['metadata']['name']}" for o in objects if o["kind"] in ("Ingress", "Service")]
        plane.lab.fairlead("delete", *names, "ingresses/last", "--ignore-not-found")
        settled(plane, f"{n}-gone")
    told = result(process)
    assert refused < 4, "the API server takes almost all"
    print(mode, len(FILES), "files:", told["responses"], "responses,", told["seen"], sum(told["messages"].values()), "messages of", len(told["messages"]), "types")
    has_all(told)


def settled(plane, n):
    """A host that comes last has come, and the client has answered."""
    plane.lab.apply(corpus.Case("last", corpus.web(f"last-{n}.example")).object())

    def look():
        streams = plane.syncz()
        dump = plane.lab.answers(plane.node, "http://127.0.0.1:15014/debug/config_dump") or ""
        types = [t for s in streams for t in s.values() if isinstance(t, dict)]
        return f'"last-{n}.example"' in dump and types and not any(t["waiting"] or t["state"] == "STALE" for t in types)
    wait_until(f"file {n} is taken", look, 20)
