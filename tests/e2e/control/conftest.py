"""A lab with the control plane and its gateways, and two Services to be reached through them."""
import json

import pytest

import lab_harness
from gateway import Gateway


@pytest.fixture(scope="module")
def lab():
    yield from lab_harness.running(lab_harness.Lab(), "--ingress")


@pytest.fixture(scope="module")
def gateway(lab):
    for name in ("web", "other"):
        lab.apply(lab_harness.echo(name, replicas=2, args=("--drain", "2s")), lab_harness.service(name))
    for name in ("web", "other"):
        lab.wait_ready(f"app={name}", 2)
    return Gateway(lab)


@pytest.fixture
def ingress(lab, gateway):
    """Applies Ingresses, which go when the test ends."""
    made = []

    def apply(name, rules=None, annotations=None, class_="nginx", **spec):
        spec = ({"ingressClassName": class_} if class_ else {}) | spec
        if rules is not None:
            spec["rules"] = rules
        lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                   "metadata": {"name": name, "annotations": {("" if "/" in k else "nginx.ingress.kubernetes.io/") + k: v
                                                              for k, v in (annotations or {}).items()}}, "spec": spec})
        made.append(name)

    yield apply
    for name in set(made):
        lab.fairlead("delete", f"ingresses/{name}", "--ignore-not-found")


@pytest.fixture
def settings(lab, gateway):
    """Sets the ConfigMap of ingress-nginx, which goes when the test ends."""
    def put(**data):
        lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ingress-nginx-controller", "namespace": "fairlead-system"},
                   "data": {k.replace("_", "-"): v for k, v in data.items()}})
    yield put
    lab.fairlead("delete", "configmap/ingress-nginx-controller", "-n", "fairlead-system", "--ignore-not-found")


@pytest.fixture
def events(lab):
    def of(name, reason=None):
        """Messages of the Events on an object."""
        return [e["message"] for e in lab.get("events")["items"]
                if e["involvedObject"]["name"] == name and (reason is None or e["reason"] == reason)]
    return of


def pytest_assertrepr_compare(op, left, right):
    return [json.dumps(left, default=str)[:500], op, json.dumps(right, default=str)[:500]] if op == "==" else None
