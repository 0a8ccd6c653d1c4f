"""CustomResourceDefinitions and their objects: served at once, by several versions, watched, printed, emptied; through kubectl, too.
What is valid is the corpus's (tests/conformance/corpus/custom.py)."""
import json
import subprocess

import pytest
from kubectls import kubectls
from suite import wait_until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def prop(**schema):
    return {"type": "object", "properties": schema}


def version(name="v1", schema=None, **more):
    return {"name": name, "served": True, "storage": True,
            "schema": {"openAPIV3Schema": schema or prop(spec=prop(size={"type": "integer", "default": 3}, color=STRING), status=prop(ready=STRING))}, **more}


def crd(plural, kind, *versions, scope="Namespaced", **names):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.e2e.example.com"},
            "spec": {"group": "e2e.example.com", "scope": scope, "names": {"plural": plural, "kind": kind, **names}, "versions": list(versions) or [version()]}}


@pytest.fixture
def define(server):
    """Makes a definition; it is gone after the test."""
    made = []

    def do(*args, **names):
        r = server.post(CRDS, crd(*args, **names))
        assert r.status == 201, r.body
        made.append(r.json["metadata"]["name"])
        return r.json

    yield do
    for name in made:
        server.delete(f"{CRDS}/{name}")
        wait_until(f"{name} to go", lambda: server.get(f"{CRDS}/{name}").status == 404)


def path(ns, plural, name="", v="v1"):
    return f"/apis/e2e.example.com/{v}/namespaces/{ns}/{plural}" + (f"/{name}" if name else "")


def custom(kind, name, v="v1", **members):
    return {"apiVersion": f"e2e.example.com/{v}", "kind": kind, "metadata": {"name": name}, **members}


def conditions(o):
    return {c["type"]: c["status"] for c in o["status"]["conditions"]}


def test_a_definition_is_served_when_it_is_answered(server, ns, define):
    o = define("boxes", "Box")
    assert conditions(o) == {"NamesAccepted": "True", "Established": "True"}
    assert o["status"]["acceptedNames"]["singular"] == "box" and o["status"]["storedVersions"] == ["v1"]
    r = server.post(path(ns, "boxes"), custom("Box", "a", spec={"color": "red"}))
    assert r.status == 201 and r.json["spec"] == {"color": "red", "size": 3} and r.json["metadata"]["generation"] == 1
    assert server.get(path(ns, "boxes")).json["kind"] == "BoxList"


def test_discovery_has_it_and_loses_it(server, define):
    define("disks", "Disk", version(subresources={"status": {}}), shortNames=["dk"], categories=["all"])
    listed = {r["name"]: r for r in server.get("/apis/e2e.example.com/v1").json["resources"]}
    assert listed["disks"]["shortNames"] == ["dk"] and listed["disks"]["categories"] == ["all"] and "disks/status" in listed and "disks/scale" not in listed
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    assert "e2e.example.com" in [i["metadata"]["name"] for i in server.get("/apis", headers=accept).json["items"]]
    server.delete(f"{CRDS}/disks.e2e.example.com")
    wait_until("the definition to go", lambda: server.get(f"{CRDS}/disks.e2e.example.com").status == 404)
    assert server.get("/apis/e2e.example.com/v1").status == 404
    assert "e2e.example.com" not in [g["name"] for g in server.get("/apis").json["groups"]]


def test_generation_counts_all_but_metadata_and_status(server, ns, define):
    define("jars", "Jar", version(subresources={"status": {}}))
    define("lids", "Lid")
    for plural, kind, last in (("jars", "Jar", 2), ("lids", "Lid", 3)):
        assert server.post(path(ns, plural), custom(kind, "a", spec={"size": 1})).status == 201
        at = path(ns, plural, "a")
        assert server.patch(at, {"metadata": {"labels": {"a": "b"}}}).json["metadata"]["generation"] == 1
        assert server.patch(at, {"spec": {"size": 2}}).json["metadata"]["generation"] == 2
        to = at + "/status" if kind == "Jar" else at
        r = server.patch(to, {"status": {"ready": "yes"}}).json
        assert r["metadata"]["generation"] == last and r["status"] == {"ready": "yes"}
    assert server.patch(path(ns, "jars", "a"), {"status": {"ready": "no"}}).json["status"] == {"ready": "yes"}


def test_unknown_members_go_and_defaults_come(server, ns, define):
    define("cups", "Cup", version(schema=prop(spec=prop(
        keep={"type": "object", "x-kubernetes-preserve-unknown-fields": True}, deep=prop(a={"type": "string", "default": "x"}),
        list={"type": "array", "items": prop(n={"type": "integer", "default": 7})}))))
    r = server.post(path(ns, "cups"), custom("Cup", "a", spec={"keep": {"z": {"y": 1}}, "deep": {}, "list": [{"q": 1}], "zz": 1}, extra=2))
    assert r.json["spec"] == {"keep": {"z": {"y": 1}}, "deep": {"a": "x"}, "list": [{"n": 7}]} and "extra" not in r.json
    assert sorted(w.split('"')[2].rstrip("\\") for w in r.warnings()) == ["extra", "spec.list[0].q", "spec.zz"]
    assert server.post(path(ns, "cups") + "?fieldValidation=Strict", custom("Cup", "b", spec={"zz": 1})).status == 400


def test_every_version_shows_the_same_object(server, ns, define):
    define("pens", "Pen", version(schema=prop(spec=prop(ink=STRING, old=STRING))),
           version("v2", schema=prop(spec=prop(ink=STRING, tip={"type": "string", "default": "fine"})), storage=False))
    assert server.post(path(ns, "pens"), custom("Pen", "a", spec={"ink": "blue", "old": "o"})).status == 201
    new = server.get(path(ns, "pens", "a", "v2")).json
    assert new["apiVersion"] == "e2e.example.com/v2" and new["spec"] == {"ink": "blue", "tip": "fine"}
    w = server.watch(path(ns, "pens", v="v2") + "?watch=1&resourceVersion=0")
    assert w.next()["object"]["apiVersion"] == "e2e.example.com/v2"
    server.patch(path(ns, "pens", "a", "v2"), {"spec": {"ink": "red"}})
    assert w.next()["object"]["spec"]["ink"] == "red"
    w.close()
    assert server.get(path(ns, "pens", "a")).json["spec"] == {"ink": "red"}  # v1 knows no tip, v2 no old
    assert [i["spec"]["tip"] for i in server.get(path(ns, "pens", v="v2")).json["items"]] == ["fine"]


def test_a_new_storage_version_keeps_old_objects(server, ns, define):
    name = define("nibs", "Nib", version())["metadata"]["name"]
    server.post(path(ns, "nibs"), custom("Nib", "a", spec={"size": 5}))
    r = server.patch(f"{CRDS}/{name}", {"spec": {"versions": [version(storage=False), version("v2")]}})
    assert r.status == 200 and r.json["status"]["storedVersions"] == ["v1", "v2"]
    assert server.get(path(ns, "nibs", "a", "v2")).json["spec"] == {"size": 5}
    assert server.get(path(ns, "nibs", "a")).json["apiVersion"] == "e2e.example.com/v1"
    r = server.patch(f"{CRDS}/{name}", {"spec": {"versions": [version("v2")]}})
    assert r.status == 422 and r.json["details"]["causes"][0]["field"] == "status.storedVersions[0]"


def test_watches_end_when_the_definition_changes(server, ns, define):
    name = define("keys", "Key")["metadata"]["name"]
    w = server.watch(path(ns, "keys") + "?watch=1")
    server.patch(f"{CRDS}/{name}", {"spec": {"versions": [version(schema=prop(spec=prop(other=STRING)))]}})
    try:
        assert w.next() is None
    except TimeoutError:
        pytest.fail("the watch goes on")
    except OSError:
        pass  # cut off, not ended
    w.close()


def test_selectable_fields(server, ns, define):
    define("hats", "Hat", version(selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}]))
    for i, color in enumerate(("red", "blue", "red")):
        server.post(path(ns, "hats"), custom("Hat", f"h{i}", spec={"color": color}))
    assert [o["metadata"]["name"] for o in server.get(path(ns, "hats") + "?fieldSelector=spec.color=red").json["items"]] == ["h0", "h2"]
    assert len(server.get(path(ns, "hats") + "?fieldSelector=spec.size=3").json["items"]) == 3
    assert server.get(path(ns, "hats") + "?fieldSelector=spec.other=3").status == 400


def test_names_that_another_has_are_not_accepted_until_they_are_free(server, define):
    define("cars", "Car", shortNames=["c1"])
    second = define("autos", "Auto", shortNames=["c1"])
    assert conditions(second) == {"NamesAccepted": "False", "Established": "False"}
    assert server.get("/apis/e2e.example.com/v1/autos").status == 404
    server.delete(f"{CRDS}/cars.e2e.example.com")
    wait_until("the names to be free", lambda: conditions(server.get(f"{CRDS}/autos.e2e.example.com").json)["Established"] == "True")
    assert server.get("/apis/e2e.example.com/v1/autos").status == 200


def test_deletion_takes_the_objects_and_waits_for_finalizers(server, ns, define):
    define("pots", "Pot")
    server.post(path(ns, "pots"), custom("Pot", "a"))
    held = custom("Pot", "held")
    held["metadata"]["finalizers"] = ["e2e.example.com/wait"]
    server.post(path(ns, "pots"), held)
    w = server.watch(f"{CRDS}?watch=1&fieldSelector=metadata.name=pots.e2e.example.com")
    r = server.delete(f"{CRDS}/pots.e2e.example.com")
    assert r.status == 200 and conditions(r.json)["Terminating"] == "True"
    wait_until("the free one to go", lambda: [o["metadata"]["name"] for o in server.get(path(ns, "pots")).json["items"]] == ["held"])
    assert server.post(path(ns, "pots"), custom("Pot", "b")).status == 405
    assert server.get(f"{CRDS}/pots.e2e.example.com").json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    server.patch(path(ns, "pots", "held"), {"metadata": {"finalizers": None}})
    w.until("DELETED")
    w.close()
    assert server.get(path(ns, "pots")).status == 404


def test_rules_are_told_not_to_be_evaluated(server, define):
    schema = prop(spec={**prop(n=INTEGER), "x-kubernetes-validations": [{"rule": "self.n > 1"}]})
    r = server.post(CRDS + "?dryRun=All", crd("rules", "Rule", version(schema=schema)))
    assert any("not evaluated" in w for w in r.warnings()), r.warnings()
    assert r.json["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema


def test_conversion_webhooks_are_refused(server):
    o = crd("hooks", "Hook")
    o["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://a.example/"}}}
    r = server.post(CRDS, o)
    assert r.status == 422 and "does not call conversion webhooks" in r.json["message"]


def test_columns(server, ns, define):
    define("cans", "Can", version(additionalPrinterColumns=[
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"}, {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "First", "type": "integer", "jsonPath": ".spec.list[0].n", "priority": 1}, {"name": "Dotted", "type": "string", "jsonPath": r".metadata.annotations.a\.b/c"}],
        schema=prop(spec={"type": "object", "x-kubernetes-preserve-unknown-fields": True}, status={"type": "object", "x-kubernetes-preserve-unknown-fields": True})))
    o = custom("Can", "a", spec={"color": "red", "list": [{"n": 4}]}, status={"conditions": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]})
    o["metadata"]["annotations"] = {"a.b/c": "dot"}
    server.post(path(ns, "cans"), o)
    server.post(path(ns, "cans"), custom("Can", "b"))
    t = server.get(path(ns, "cans"), headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    assert [c["name"] for c in t["columnDefinitions"]] == ["Name", "Color", "Ready", "First", "Dotted"]
    assert [r["cells"] for r in t["rows"]] == [["a", "red", "True", 4, "dot"], ["b", None, None, None, None]]


def test_roles_hold_for_them(server, ns, define):
    define("vans", "Van", version(subresources={"status": {}}))
    server.post(path(ns, "vans"), custom("Van", "a"))
    as_someone = {"Impersonate-User": "someone"}
    assert server.get(path(ns, "vans", "a"), headers=as_someone).status == 403
    server.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles", {"metadata": {"name": "r"}, "rules": [
        {"apiGroups": ["e2e.example.com"], "resources": ["vans"], "verbs": ["get"]}]})
    server.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "someone"}]})
    assert server.get(path(ns, "vans", "a"), headers=as_someone).status == 200
    assert server.patch(path(ns, "vans", "a") + "/status", {"status": {}}, headers=as_someone).status == 403


def test_they_are_there_after_a_restart(make_server, tmp_path):
    s = make_server(ephemeral=False)
    assert s.post(CRDS, crd("logs", "Log", scope="Cluster")).status == 201
    assert s.post("/apis/e2e.example.com/v1/logs", custom("Log", "a", spec={"color": "red"})).status == 201
    s.stop()
    s.start()
    assert s.get("/apis/e2e.example.com/v1/logs/a").json["spec"]["color"] == "red"
    assert s.delete(f"{CRDS}/logs.e2e.example.com").status == 200
    wait_until("it to go", lambda: s.get(f"{CRDS}/logs.e2e.example.com").status == 404)
    s.post(CRDS, crd("logs", "Log", scope="Cluster"))
    assert s.get("/apis/e2e.example.com/v1/logs").json["items"] == []


MANIFEST = json.dumps(crd("tabs", "Tab", version(
    subresources={"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"}},
    additionalPrinterColumns=[{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    schema=prop(spec={**prop(size={"type": "integer", "maximum": 9, "description": "how large"}), "required": ["size"]}, status=prop(n=INTEGER))), shortNames=["tb"]))


@pytest.mark.parametrize("minor, kubectl", kubectls(), ids=lambda v: str(v) if isinstance(v, int) else "")
def test_kubectl(make_server, tmp_path, minor, kubectl):
    s = make_server()
    config = s.kubeconfig()
    (tmp_path / "crd.json").write_text(MANIFEST)
    (tmp_path / "tab.json").write_text(json.dumps(custom("Tab", "a", spec={"size": 2})))

    def run(*words, code=0):
        r = subprocess.run([kubectl, "--kubeconfig", config, "--cache-dir", tmp_path / "cache", *words], capture_output=True, text=True)
        assert r.returncode == code, (words, r.stdout, r.stderr)
        return r.stdout + r.stderr

    assert "created" in run("apply", "-f", tmp_path / "crd.json")
    assert "condition met" in run("wait", "--for=condition=Established", "crd/tabs.e2e.example.com", "--timeout=10s")
    assert "created" in run("apply", "-f", tmp_path / "tab.json")
    assert "unchanged" in run("apply", "-f", tmp_path / "tab.json")
    assert run("get", "tb").split() == ["NAME", "SIZE", "a", "2"]
    assert "Size:  2" in run("describe", "tab", "a")
    run("patch", "tabs", "a", "--type=merge", "-p", '{"spec":{"size":3}}')
    run("scale", "tab/a", "--replicas=4")
    assert run("get", "tab", "a", "-o", "jsonpath={.spec.size}") == "4"
    assert "should be less than or equal to 9" in run("patch", "tab", "a", "--type=merge", "-p", '{"spec":{"size":10}}', code=1)
    if minor >= 27:
        assert "how large" in run("explain", "tabs.spec.size")
    run("label", "tab", "a", "x=y")
    assert "tab.e2e.example.com/a" in run("get", "tabs", "-l", "x=y", "-o", "name")
    assert "deleted" in run("delete", "tab", "a")
    assert "deleted" in run("delete", "-f", tmp_path / "crd.json")
    run("get", "tabs", code=1)


def owned(o, owner, **more):
    o["metadata"]["ownerReferences"] = [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                                         "uid": owner["metadata"]["uid"], **more}]
    return o


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_dependents_go_with_their_owner(server, ns, define):
    """A custom owner of built-in and custom objects, and a built-in owner of a custom one."""
    define("owls", "Owl")
    owner = server.post(path(ns, "owls"), custom("Owl", "owner")).json
    cms = f"/api/v1/namespaces/{ns}/configmaps"
    assert server.post(cms, owned(config_map("cm"), owner)).status == 201
    built_in = server.post(cms, config_map("built-in")).json
    server.post(path(ns, "owls"), owned(custom("Owl", "a"), owner))
    server.post(path(ns, "owls"), owned(custom("Owl", "b"), {**built_in, "apiVersion": "v1", "kind": "ConfigMap"}))
    server.delete(path(ns, "owls", "owner"))
    wait_until("they are gone", lambda: server.get(path(ns, "owls", "a")).status == server.get(f"{cms}/cm").status == 404)
    assert server.get(path(ns, "owls", "b")).status == 200
    server.delete(f"{cms}/built-in")
    wait_until("it is gone", lambda: server.get(path(ns, "owls", "b")).status == 404)
    late = server.post(path(ns, "owls"), owned(custom("Owl", "late"), owner))
    assert late.status == 201
    wait_until("the late one is gone", lambda: server.get(path(ns, "owls", "late")).status == 404)


def test_foreground_and_orphan(server, ns, define):
    define("bats", "Bat")
    cms = f"/api/v1/namespaces/{ns}/configmaps"
    owner = server.post(path(ns, "bats"), custom("Bat", "owner")).json
    held = owned(config_map("held"), owner, blockOwnerDeletion=True)
    held["metadata"]["finalizers"] = ["e2e.example.com/wait"]
    server.post(cms, held)
    assert server.delete(path(ns, "bats", "owner") + "?propagationPolicy=Foreground").status == 200
    wait_until("the dependent is asked to go", lambda: "deletionTimestamp" in server.get(f"{cms}/held").json["metadata"])
    assert server.get(path(ns, "bats", "owner")).json["metadata"]["finalizers"] == ["foregroundDeletion"]
    server.patch(f"{cms}/held", {"metadata": {"finalizers": None}})
    wait_until("the owner is gone", lambda: server.get(path(ns, "bats", "owner")).status == 404)
    owner = server.post(path(ns, "bats"), custom("Bat", "other")).json
    server.post(cms, owned(config_map("kept"), owner))
    server.delete(path(ns, "bats", "other") + "?propagationPolicy=Orphan")
    wait_until("the owner is gone", lambda: server.get(path(ns, "bats", "other")).status == 404)
    assert "ownerReferences" not in server.get(f"{cms}/kept").json["metadata"]


def test_a_kind_that_is_called_as_one_of_kubernetes(server, ns):
    """Neither a Service nor a Namespace: nothing is allotted, defaulted or held for it."""
    for plural, kind, scope in (("services", "Service", "Namespaced"), ("namespaces", "Namespace", "Cluster")):
        made = server.post(CRDS, crd(plural, kind, scope=scope, listKind=kind + "Items"))
        assert made.status == 201, made.body
        where = path(ns, plural) if scope == "Namespaced" else f"/apis/e2e.example.com/v1/{plural}"
        r = server.post(where, custom(kind, "a", spec={"color": "red"}))
        assert r.status == 201 and r.json["spec"] == {"color": "red", "size": 3} and "labels" not in r.json["metadata"]
        assert server.delete(f"{where}/a").status == 200
        assert server.get(f"{where}/a").status == 404
        server.delete(f"{CRDS}/{plural}.e2e.example.com")
        wait_until("it goes", lambda: server.get(f"{CRDS}/{plural}.e2e.example.com").status == 404)
