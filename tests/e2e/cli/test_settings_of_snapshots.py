"""explain, analyze and migrate heed the settings of ingress-nginx (its ConfigMap), as control does."""
import json

from manifests import as_stream, fairlead, ingress, path, service, slice_

OWN = ("fairlead-system", "ingress-nginx-controller")


def config_map(data, ns="a-nginx", name="ingress-nginx-controller"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": ns}, "data": data}


def explain(objects, *flags, url="http://a.example/x"):
    done = fairlead("explain", "GET", url, "-f", "/dev/stdin", "-o", "json", *flags, stdin=as_stream(objects))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OBJECTS = [ingress("i", path("/x"), tls=[{"hosts": ["a.example"]}]), service(), slice_()]


def test_explain():
    assert explain(OBJECTS)["action"] == "308 to https://"
    plain, slow = config_map({"ssl-redirect": "false"}), config_map({"ssl-redirect": "false", "limit-rate": "4"}, *OWN)
    assert explain([plain, *OBJECTS])["action"].startswith("Service default/web")
    assert "at 4096 bytes a second" in explain([*OBJECTS, plain, slow])["action"] and "bytes a second" not in explain([*OBJECTS, plain, slow], "--configmap", "a-nginx/ingress-nginx-controller")["action"]
    assert explain([*OBJECTS, plain], "--configmap", "none/none")["action"] == "308 to https://"
    assert explain([*OBJECTS, config_map({"ssl-redirect": "false"}, name="other")])["action"] == "308 to https://"


def test_explain_an_auth_server_of_all():
    text = explain([*OBJECTS, config_map({"ssl-redirect": "false", "global-auth-url": "http://auth.example/check"})])["action"]
    assert "only if http://auth.example:80/check says so" in text
    assert "503, by the gateway itself" == explain([*OBJECTS, config_map({"ssl-redirect": "false", "global-auth-url": "x"})])["action"]


def test_explain_what_no_ingress_is_for():
    rest = service("rest", "system")
    for url in ("http://a.example/else", "http://b.example/"):
        assert "404" in explain([*OBJECTS, rest], url=url)["action"]
        said = explain([*OBJECTS, rest], "--default-backend-service", "system/rest", url=url)
        assert (said["action"], said["decided"]["field"]) == ("Service system/rest port 80", "--default-backend-service")


def analyze(objects):
    done = fairlead("analyze", "-f", "-", "-o", "json", stdin=as_stream(objects))
    return {(f["id"], f["object"]) for f in json.loads(done.stdout)["findings"]}


def test_analyze():
    """What is said of an Ingress may follow from the settings alone."""
    errors = ("DefaultBackendNotFound", "default/i")
    assert errors not in analyze(OBJECTS) and errors in analyze([*OBJECTS, config_map({"custom-http-errors": "503"})])


def test_migrate():
    """The ConfigMap that the controller's flag names counts, whatever it is called."""
    controller = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "c", "namespace": "edge"}, "spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "registry.k8s.io/ingress-nginx/controller:v1.15.1", "args": ["--configmap=$(POD_NAMESPACE)/mine"]}]}}}}

    def said(*more):
        done = fairlead("migrate", "ingress-nginx", "-f", "-", "-o", "json", stdin=as_stream([*OBJECTS, *more]))
        return json.dumps(json.loads(done.stdout)["ingresses"])
    settings = config_map({"global-auth-url": "https://$host/auth"}, "edge", "mine")
    assert "no rule of host a.example leads to a Service" in said(controller, settings) and "no rule of host" not in said(settings)
