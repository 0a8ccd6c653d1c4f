"""Who may look at what the control plane knows of others (port 15014): whom it asks, whom it lets in, and what it says to the others."""
import json
import os

import pytest
import yaml

from suite import FAIRLEAD, run, wait_until

SYSTEM = "fairlead-system"
RBAC = "rbac.authorization.k8s.io"
ASKED = ("/debug/snapshot", "/debug/syncz", "/debug/clusterz", "/debug/config_dump", "/debug/edges", "/debug/tap?pod=default/web", "/debug/traces", "/debug/traces/0123456789abcdef",
         "/debug/", "/debug/nothing", "/")
OPEN = ("/ready", "/metrics")


@pytest.fixture
def control(lab, gateway):
    return lab.ready_pods("app=fairlead-control", SYSTEM)[0]


@pytest.fixture
def account(lab, gateway):
    """A service account of the namespace and what binds it; they go when the test ends."""
    made = []

    def make(name, ns="default"):
        lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": ns}})
        made.append(("serviceaccount/" + name, ns))

        def bind(kind, role, where):
            meta = {"name": f"{name}-{role}", **({"namespace": where} if where else {})}
            lab.apply({"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding" if where else "ClusterRoleBinding", "metadata": meta,
                       "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": ns}]})
            made.append((f"{'rolebinding' if where else 'clusterrolebinding'}/{meta['name']}", where or "default"))
        return bind
    yield make
    for what, where in reversed(made):
        lab.fairlead("delete", what, "-n", where, "--ignore-not-found")


def ask(lab, control, page, *headers):
    """(status, body), asked from a node of the pod itself."""
    argv = [part for h in headers for part in ("-H", h)]
    url = f"http://{control['status']['podIP']}:15014{page}"
    done = lab.in_netns("node-1", "curl", "-s", "-m", "2", "-w", "\n%{http_code}", *argv, url, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_nobody_sees_anything_without_a_token(lab, control):
    for page in ASKED:
        status, body = ask(lab, control, page)
        assert status == 401 and "--audience fairlead-view" in json.loads(body)["message"], page
    assert [ask(lab, control, page)[0] for page in OPEN] == [200, 200]
    assert "example" not in ask(lab, control, "/metrics")[1], "no name of somebody else is in it"


def test_tokens_that_are_meant_for_others_are_nobodys(lab, control):
    tokens = [lab.token("fairlead-gateway"), lab.token("fairlead-viewer"), lab.token("fairlead-viewer", audience="istio-ca"),
              lab.token("fairlead-viewer", audience="fairlead-view")[:-8] + "AAAAAAAA", "x"]
    for token in tokens:
        status, body = ask(lab, control, "/debug/syncz", f"Authorization: Bearer {token}")
        assert status == 401 and token not in body.replace("x", ""), "nor is it repeated"
    assert ask(lab, control, "/debug/syncz", f"Authorization: Basic {tokens[0]}")[0] == 401


def test_a_viewers_token_opens_no_stream(lab, control, gateway):
    """And none of a gateway's tells what another one is sent."""
    token = lab.token("fairlead-viewer", audience="fairlead-view")
    assert ask(lab, control, "/debug/syncz", f"Authorization: Bearer {token}")[0] == 200
    assert ask(lab, control, "/debug/syncz", f"Fairlead-Authorization: Bearer {token}")[0] == 200
    log = lab.in_netns("node-1", "curl", "-sk", "--http2", "-m", "2", "-X", "POST", "-H", f"authorization: Bearer {token}", "-H", "content-type: application/grpc", "-H", "te: trailers",
                       "-D", "-", f"https://{control['status']['podIP']}:15012/istio.v1.auth.IstioCertificateService/CreateCertificate", check=False).stdout.lower()
    assert "grpc-status: 16" in log


def test_who_is_in_the_pod_is_not_asked(lab, control):
    """As whoever may exec or port-forward there."""
    where = f"{control['spec']['nodeName']}/{SYSTEM}/{control['metadata']['name']}"
    assert json.loads(lab.in_netns(where, "curl", "-s", "http://127.0.0.1:15014/debug/syncz"))
    assert lab.in_netns(where, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.6", "http://127.0.0.1:15014/debug/syncz") == "401"


def test_a_right_in_a_namespace(lab, control, account):
    bind = account("watcher")
    field = f"Authorization: Bearer {lab.token('watcher', 'default', 'fairlead-view')}"
    status, body = ask(lab, control, "/debug/edges?namespace=default", field)
    assert status == 403 and json.loads(body)["message"] == (
        "system:serviceaccount:default:watcher may not get traffic.view.fairlead.dev in namespace default: an administrator grants it by a RoleBinding there to the ClusterRole "
        "fairlead-traffic-viewer (docs/mesh.md)")
    bind("ClusterRole", "fairlead-traffic-viewer", "default")
    field = f"Authorization: Bearer {lab.token('watcher', 'default', 'fairlead-view')}"
    status, body = wait_until("the right is known", lambda: (lambda a: a if a[0] == 200 else None)(ask(lab, control, "/debug/edges?namespace=default", field)), 20)
    assert json.loads(body)["edges"] == []
    assert ask(lab, control, "/debug/tap?pod=default/web", field)[0] == 200
    for page in ("/debug/edges", "/debug/edges?namespace=", "/debug/edges?namespace=kube-system", "/debug/edges?namespace=%zz", "/debug/tap?pod=kube-system/", "/debug/tap?pod=default/a&pod=kube-system/b",
                 "/debug/tap?pod=/", "/debug/traces", "/debug/syncz", "/debug/snapshot", "/debug/config_dump"):
        assert ask(lab, control, page, field)[0] == 403, page
    assert "an administrator grants it by a ClusterRoleBinding to the ClusterRole fairlead-viewer" in ask(lab, control, "/debug/traces", field)[1]


def kubeconfig(lab, tmp_path, token):
    whole = yaml.safe_load(open(lab.kubeconfig))
    whole["users"] = [{"name": u["name"], "user": {"token": token}} for u in whole["users"]]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(whole))
    return dict(os.environ, KUBECONFIG=str(tmp_path / "kubeconfig"))


def test_commands_say_which_right_is_missing(lab, control, account, tmp_path):
    bind = account("helper")
    bind("Role", "fairlead-reach", SYSTEM)
    env = kubeconfig(lab, tmp_path, own_token(lab, "helper"))
    for argv in (["proxy-status"], ["edges", "-A"], ["trace"], ["tap", "ns/default", "--count", "1"]):
        done = run(FAIRLEAD, *argv, env=env, check=False)
        assert done.returncode == 1, done
        assert 'no token of service account fairlead-system/fairlead-viewer: serviceaccounts "fairlead-viewer" is forbidden' in done.stderr and "who asks?" in done.stderr, done.stderr
    done = run(FAIRLEAD, "edges", "-n", "default", "--viewer", "default/helper", env=env, check=False)
    assert done.returncode == 1 and "default/helper" in done.stderr, "who looks as himself needs a right to his own tokens"
    bind("Role", "fairlead-viewer", SYSTEM)
    assert "fairlead-gateway" in run(FAIRLEAD, "proxy-status", env=env)
    assert run(FAIRLEAD, "proxy-status", "--viewer", "nobody", env=env, check=False).stderr.count('--viewer: "nobody" is not NAMESPACE/NAME')


def own_token(lab, name):
    status, text = lab.raw(f"/api/v1/namespaces/default/serviceaccounts/{name}/token", "POST", body_type="application/json", body=json.dumps({"spec": {}}))
    assert status == 201
    return json.loads(text)["status"]["token"]


def test_an_administrator_needs_nothing_more(lab, control):
    """The lab's kubeconfig has a certificate alone."""
    assert "client-certificate-data" in open(lab.kubeconfig).read()
    assert "SYNCED" in lab.fairlead("proxy-status")
    assert lab.fairlead("edges", "-A", "-o", "json")
    assert lab.fairlead("trace", "-o", "json")
    counted = ask(lab, control, "/metrics")[1]
    assert int(counted.split('fairlead_control_viewers_total{result="allowed"} ')[1].split()[0]) >= 3
