"""What objects' status says of how they were taken: the leader writes a condition where something is wrong, or has no effect."""
import json

import pytest
from suite import ROOT, wait_until

KIND = {"EnvoyFilter": ("networking.istio.io/v1alpha3", "networking.envoyfilters"), "WasmPlugin": ("extensions.istio.io/v1alpha1", "extensions.wasmplugins"),
        "WorkloadGroup": ("networking.istio.io/v1", "networking.workloadgroups"), "VirtualService": ("networking.istio.io/v1", "networking.virtualservices")}
SPEC = {"EnvoyFilter": {"configPatches": []}, "WasmPlugin": {"url": "oci://example.org/plugin"}, }


class Objects:
    def __init__(self, lab):
        self.lab = lab

    def put(self, kind, name, spec):
        self.lab.apply({"apiVersion": KIND[kind][0], "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})

    def condition(self, kind, name):
        status = json.loads(self.lab.raw(f"/apis/{KIND[kind][0]}/namespaces/default/{kind.lower()}s/{name}")[1]).get("status", {})
        found = [c for c in status.get("conditions", []) if c["type"] == "fairlead.dev/Accepted"]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture
def objects(mesh):
    for _, crd in KIND.values():
        mesh.lab.fairlead("apply", "-f", ROOT / f"deploy/crds/{crd}.yaml")
    made = Objects(mesh.lab)
    yield made
    for kind, (version, _) in KIND.items():
        for name in ("told", "wrong"):
            mesh.lab.raw(f"/apis/{version}/namespaces/default/{kind.lower()}s/{name}", "DELETE")


@pytest.mark.parametrize("kind", SPEC)
def test_a_kind_without_effect(objects, kind):
    objects.put(kind, "told", SPEC[kind])
    c = wait_until("it is told", lambda: objects.condition(kind, "told"), 30)
    assert (c["status"], c["reason"], c["observedGeneration"]) == ("False", "KindNotServed", 1)
    assert "has no effect here" in c["message"]


def test_an_object_that_is_wrong_and_then_right(objects):
    objects.put("VirtualService", "wrong", {"hosts": ["nobody"], "http": [{"redirect": {}}]})
    c = wait_until("it is told", lambda: objects.condition("VirtualService", "wrong"), 30)
    assert (c["status"], c["reason"]) == ("False", "RouteInvalid") and c["message"].startswith("spec.http[0].redirect: ")
    objects.put("VirtualService", "wrong", {"hosts": ["nobody"], "http": [{"redirect": {"uri": "/x"}}]})
    right = wait_until("it is right", lambda: (lambda now: now["status"] == "True" and now)(objects.condition("VirtualService", "wrong")), 30)
    assert (right["reason"], right["message"], right["observedGeneration"]) == ("Accepted", "", 2)
    objects.put("VirtualService", "told", {"hosts": ["nobody"], "http": [{"redirect": {"uri": "/x"}}]})
    objects.put("EnvoyFilter", "told", SPEC["EnvoyFilter"])  # comes later, and is told
    wait_until("it is told", lambda: objects.condition("EnvoyFilter", "told"), 30)
    assert objects.condition("VirtualService", "told") is None, "nothing was wrong with it"
