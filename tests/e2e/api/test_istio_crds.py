"""The definitions of Istio's kinds (deploy/crds): the server takes them, and of their objects what istio_objects.yaml says, in each version."""
import json
import pathlib
import subprocess

import pytest
import yaml
from kubectls import kubectls
from suite import ROOT, wait_until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FILES = sorted((pathlib.Path(ROOT) / "deploy/crds").glob("*.yaml"))
DEFINITIONS = {d["spec"]["names"]["kind"]: d for d in (yaml.safe_load(f.read_text()) for f in FILES)}
OBJECTS = yaml.safe_load((pathlib.Path(__file__).parent / "istio_objects.yaml").read_text())
KINDS = sorted(DEFINITIONS)
# Istio's, the stored one first.
VERSIONS = {**dict.fromkeys(KINDS, ["v1", "v1alpha3", "v1beta1"]), "EnvoyFilter": ["v1alpha3"], "ProxyConfig": ["v1beta1"], "WasmPlugin": ["v1alpha1"], "Telemetry": ["v1alpha1", "v1"],
            **dict.fromkeys(("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"), ["v1", "v1beta1"])}


@pytest.fixture(scope="module")
def defined(server):
    for d in DEFINITIONS.values():
        r = server.post(CRDS, d)
        assert r.status == 201, r.body
    for kind, d in DEFINITIONS.items():
        for version in versions(kind):
            path = f"/apis/{d['spec']['group']}/{version}"
            wait_until(f"{kind} {version} to be served", lambda: d["spec"]["names"]["plural"] in [r["name"] for r in server.get(path).json.get("resources", [])])
    return server


def versions(kind):
    return [v["name"] for v in DEFINITIONS[kind]["spec"]["versions"]]


def send(server, ns, kind, name, spec, version=None):
    """Strict: a field that the schema does not have is an error, not a warning."""
    d = DEFINITIONS[kind]["spec"]
    version = version or versions(kind)[0]
    path = f"/apis/{d['group']}/{version}/namespaces/{ns}/{d['names']['plural']}"
    o = {"apiVersion": f"{d['group']}/{version}", "kind": kind, "metadata": {"name": name}, **({} if spec is None else {"spec": spec})}
    return path, server.post(path + "?fieldValidation=Strict", o)


def test_every_kind_is_there_and_has_objects():
    assert len(KINDS) == 14 and sorted(OBJECTS) == KINDS
    assert all(len(o["good"]) >= 2 and len(o["bad"]) >= 4 for o in OBJECTS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_established_with_its_names(defined, kind):
    d = DEFINITIONS[kind]
    o = defined.get(f"{CRDS}/{d['metadata']['name']}").json
    assert {c["type"]: c["status"] for c in o["status"]["conditions"]} == {"NamesAccepted": "True", "Established": "True"}
    assert o["status"]["storedVersions"] == VERSIONS[kind][:1] and sorted(versions(kind)) == sorted(VERSIONS[kind])
    for version in versions(kind):
        served = {r["name"]: r for r in defined.get(f"/apis/{d['spec']['group']}/{version}").json["resources"]}
        names = d["spec"]["names"]
        assert served[names["plural"]]["categories"] == names["categories"] and served[names["plural"]].get("shortNames") == names.get("shortNames")
        assert names["plural"] + "/status" in served


def below(schema, value=None, all_of_it=False):
    """The fields that a value has, or all that it could have: (name, schema of the object that has it), so that one schema at several places counts once."""
    found, own = set(), json.dumps(schema)
    for name, one in schema.get("properties", {}).items():
        if all_of_it or name in value:
            found |= {(name, own)} | below(one, None if all_of_it else value[name], all_of_it)
    for more, inner in (("items", value), ("additionalProperties", value.values() if isinstance(value, dict) else ())):
        if more in schema:
            found |= set().union(*(below(schema[more], v, all_of_it) for v in ([None] if all_of_it else inner)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_good_objects_have_every_field(kind):
    schema = DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    missing = below(schema, all_of_it=True).difference(*(below(schema, spec) for spec in OBJECTS[kind]["good"]))
    assert not [(name, own[:200]) for name, own in missing]


@pytest.mark.parametrize("kind", KINDS)
def test_good_objects_are_taken_as_they_are(defined, ns, kind):
    for version in versions(kind):
        for i, spec in enumerate(OBJECTS[kind]["good"]):
            path, r = send(defined, ns, kind, f"{version}-{i}", spec, version)
            assert r.status == 201, r.body
            for other in versions(kind):
                assert defined.get(path.replace(f"/{version}/", f"/{other}/") + f"/{version}-{i}").json["spec"] == spec


@pytest.mark.parametrize("kind", KINDS)
def test_bad_objects_are_refused_with_the_field(defined, ns, kind):
    for version in versions(kind):
        for i, (field, spec) in enumerate(OBJECTS[kind]["bad"]):
            r = send(defined, ns, kind, f"a{i}", spec, version)[1]
            assert r.status == 422, (field, spec, r.body)
            # Of a oneOf a server names the object in the text alone.
            assert any(c["field"] == field or c["field"] == "<nil>" and f'"{field}" must validate ' in c["message"] for c in r.json["details"]["causes"]), (field, spec, r.body)


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_it_does_not_have_are_refused(defined, ns, kind):
    r = send(defined, ns, kind, "a", {**OBJECTS[kind]["good"][0], "noSuchField": 1})[1]
    assert r.status == 400 and 'unknown field "spec.noSuchField"' in r.json["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_status_takes_conditions_and_what_istiod_adds(defined, ns, kind):
    path, r = send(defined, ns, kind, "a", OBJECTS[kind]["good"][0])
    status = {"conditions": [{"type": "Reconciled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": "1", "message": "m", "reason": "r"}],
              "validationMessages": [{"type": {"name": "n", "code": "IST0101"}, "level": "ERROR", "documentationUrl": "u"}], "observedGeneration": 1, "more": {"a": 1}}
    r = defined.patch(f"{path}/a/status", {"status": status})
    assert r.status == 200 and r.json["status"] == status, r.body


@pytest.mark.parametrize("minor, kubectl", kubectls()[-1:], ids=lambda v: str(v) if isinstance(v, int) else "")
def test_kubectl_applies_the_directory(make_server, tmp_path, minor, kubectl):
    """Twice, by the client and by the server; and prints columns."""
    s = make_server()
    config = s.kubeconfig()

    def run(*words, **more):
        r = subprocess.run([kubectl, "--kubeconfig", config, "--cache-dir", tmp_path / "cache", *words], capture_output=True, text=True, **more)
        assert r.returncode == 0, (words, r.stdout, r.stderr)
        return r.stdout

    where = pathlib.Path(ROOT) / "deploy/crds"
    assert run("apply", "-f", where).count(" created") == 14
    assert run("apply", "-f", where).count(" unchanged") == 14
    assert run("apply", "--server-side", "--force-conflicts", "-f", where).count(" serverside-applied") == 14
    manifest = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a", "namespace": "default"}, "spec": {"hosts": ["h"], "gateways": ["g"]}}
    run("apply", "-f", "-", input=yaml.safe_dump(manifest))
    header, row = (line.split() for line in run("get", "vs", "-n", "default").splitlines())
    assert header == ["NAME", "GATEWAYS", "HOSTS", "AGE"] and row[:3] == ["a", '["g"]', '["h"]']
    assert "virtualservice.networking.istio.io/a" in run("get", "istio-io", "-n", "default", "-o", "name")
