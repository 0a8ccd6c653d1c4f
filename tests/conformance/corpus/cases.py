"""The language of the corpus: objects, requests, cases."""
import dataclasses
import importlib
import pathlib

NS = "corpus"
CASES = []

# kind -> (prefix, plural, namespaced)
KINDS = {
    "Service": ("/api/v1", "services", True),
    "Endpoints": ("/api/v1", "endpoints", True),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices", True),
    "Namespace": ("/api/v1", "namespaces", False),
    "ConfigMap": ("/api/v1", "configmaps", True),
    "Secret": ("/api/v1", "secrets", True),
    "ServiceAccount": ("/api/v1", "serviceaccounts", True),
    "Pod": ("/api/v1", "pods", True),
    "Node": ("/api/v1", "nodes", False),
    "Event": ("/api/v1", "events", True),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", True),
    "Deployment": ("/apis/apps/v1", "deployments", True),
    "ReplicaSet": ("/apis/apps/v1", "replicasets", True),
    "MutatingWebhookConfiguration": ("/apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", False),
    "ValidatingWebhookConfiguration": ("/apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", False),
    "ReplicationController": ("/api/v1", "replicationcontrollers", True),
}


@dataclasses.dataclass
class Step:
    method: str
    path: str
    body: object = None
    type: str = "application/json"
    made: str = None  # the path of what it makes
    headers: dict = None

    def __str__(self):
        return f"{self.method} {self.path}"


@dataclasses.dataclass
class Case:
    what: str
    steps: tuple
    differs: str = None


def all_cases():
    """Those of every file beside this one."""
    for f in sorted(pathlib.Path(__file__).parent.glob("[a-z]*.py")):
        importlib.import_module(f"corpus.{f.stem}")
    return CASES


def case(what, *steps, differs=None):
    CASES.append(Case(what, steps, differs))


def where(kind, name=None, sub=None):
    prefix, plural, namespaced = KINDS[kind]
    path = f"{prefix}/namespaces/{NS}/{plural}" if namespaced else f"{prefix}/{plural}"
    return path + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


def api_version(kind):
    return KINDS[kind][0].split("/", 2)[2] if KINDS[kind][0].startswith("/apis/") else "v1"


def obj(kind, name, **members):
    """An object; metadata may be given, its name is added."""
    meta = {"name": name, **members.pop("metadata", {})}
    return {"apiVersion": api_version(kind), "kind": kind, "metadata": {k: v for k, v in meta.items() if v is not None}, **members}


def create(o, query=""):
    return Step("POST", where(o["kind"]) + query, o, made=where(o["kind"], o["metadata"].get("name", "none")))


def update(o, sub=None, query=""):
    return Step("PUT", where(o["kind"], o["metadata"]["name"], sub) + query, o, made=where(o["kind"], o["metadata"]["name"]))


def merge(kind, name, patch, sub=None, query=""):
    return Step("PATCH", where(kind, name, sub) + query, patch, "application/merge-patch+json")


def strategic(kind, name, patch, sub=None):
    return Step("PATCH", where(kind, name, sub), patch, "application/strategic-merge-patch+json")


def json_patch(kind, name, *operations):
    return Step("PATCH", where(kind, name), list(operations), "application/json-patch+json")


def delete(kind, name, options=None, query=""):
    return Step("DELETE", where(kind, name) + query, options)


def ask(path, method="GET", **headers):
    """A request without a body; Accept="…" is a header."""
    return Step(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def service(name="s", metadata=None, **spec):
    return obj("Service", name, metadata=metadata or {}, spec={"ports": [{"port": 80}], **spec})


def port(number, **more):
    return {"port": number, **more}
