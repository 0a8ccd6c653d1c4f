"""Roles: what a service account's token may do, and with which words it is refused (rbac.authorization.k8s.io/v1)."""
import pytest

from test_semantics import path

GROUP = "/apis/rbac.authorization.k8s.io/v1"
REVIEW = "/apis/authorization.k8s.io/v1"


def roles(ns):
    return f"{GROUP}/namespaces/{ns}/roles"


def bindings(ns):
    return f"{GROUP}/namespaces/{ns}/rolebindings"


def rule(verbs, resources, groups=("",), **more):
    return {"verbs": verbs.split(), "apiGroups": list(groups), "resources": resources.split(), **more}


@pytest.fixture
def account(server, ns):
    """Its token, and grant(rules, cluster): a role of it."""
    assert server.post(path(ns, "serviceaccounts"), {"metadata": {"name": "sa"}}).status == 201
    r = server.post(path(ns, "serviceaccounts", "sa/token"), {"spec": {}})
    made = []

    def grant(*rules, cluster=False, name="r", of=None):
        kind = "ClusterRole" if cluster else "Role"
        unique = f"{ns}-{name}" if cluster else name
        role = {"metadata": {"name": unique}, "rules": list(rules)}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": of[0] if of else kind, "name": of[1] if of else unique}
        binding = {"metadata": {"name": unique}, "roleRef": ref, "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": ns}]}
        where = (f"{GROUP}/clusterroles", f"{GROUP}/clusterrolebindings") if cluster else (roles(ns), bindings(ns))
        for at, body in list(zip(where, (role, binding)))[1 if of else 0:]:
            answer = server.post(at, body)
            assert answer.status == 201, answer.body
            made.append(f"{at}/{unique}")

    grant.token = r.json["status"]["token"]
    yield grant
    for at in made:
        server.delete(at)


def who(ns):
    return f'User "system:serviceaccount:{ns}:sa"'


def test_nothing_is_allowed_that_no_role_gives(server, ns, account):
    r = server.get(path(ns), token=account.token)
    assert r.status == 403 and r.json["reason"] == "Forbidden"
    assert r.json["message"] == f'configmaps is forbidden: {who(ns)} cannot list resource "configmaps" in API group "" in the namespace "{ns}"'
    r = server.get(path(ns, "configmaps", "a"), token=account.token)
    assert r.json["message"] == f'configmaps "a" is forbidden: {who(ns)} cannot get resource "configmaps" in API group "" in the namespace "{ns}"'
    assert r.json["details"] == {"name": "a", "kind": "configmaps"}
    r = server.get("/api/v1/nodes", token=account.token)
    assert r.json["message"] == f'nodes is forbidden: {who(ns)} cannot list resource "nodes" in API group "" at the cluster scope'
    r = server.get("/metrics", token=account.token)
    assert r.status == 403 and r.json["message"] == f'forbidden: {who(ns)} cannot get path "/metrics"'
    for open_to_all in ("/api", "/apis", "/apis/apps/v1", "/version", "/openapi/v2", "/openid/v1/jwks"):
        assert server.get(open_to_all, token=account.token).status == 200, open_to_all
    assert server.get(f"/apis/nobody.example/v1/namespaces/{ns}/things", token=account.token).status == 404
    assert server.get(path(ns)).status == 200, "the admin is held to no role"


def test_verbs_groups_and_subresources(server, ns, account):
    account(rule("get create", "configmaps"), rule("list", "deployments", ["apps"]), rule("get", "pods/log"), rule("patch", "*/status", ["apps"]))
    t = account.token
    cm = {"metadata": {"name": "a"}}
    assert server.post(path(ns), cm, token=t).status == 201
    assert server.get(path(ns, "configmaps", "a"), token=t).status == 200
    for method, at, verb, resource in (
            ("GET", path(ns), "list", "configmaps"), ("GET", path(ns) + "?watch=1", "watch", "configmaps"), ("PUT", path(ns, "configmaps", "a"), "update", "configmaps"),
            ("PATCH", path(ns, "configmaps", "a"), "patch", "configmaps"), ("DELETE", path(ns, "configmaps", "a"), "delete", "configmaps"),
            ("DELETE", path(ns), "deletecollection", "configmaps"), ("GET", path(ns, "pods", "p"), "get", "pods"),
            ("GET", path(ns, "pods", "p/exec") + "?command=x", "get", "pods/exec"), ("POST", path(ns, "pods", "p/binding"), "create", "pods/binding"),
            ("GET", path(ns, "pods", "p/proxy/x"), "get", "pods/proxy")):
        r = server.call(method, at, cm if method in ("PUT", "POST") else None, token=t)
        assert r.status == 403, (method, at, r.status)
        assert f'cannot {verb} resource "{resource}"' in r.json["message"], r.json["message"]
    assert server.get(f"/apis/apps/v1/namespaces/{ns}/deployments", token=t).status == 200
    assert server.get(f"/apis/apps/v1/namespaces/{ns}/replicasets", token=t).status == 403
    assert server.get("/apis/apps/v1/deployments", token=t).status == 403, "of all namespaces: a Role does not give it"
    assert server.get(path(ns, "pods", "none/log"), token=t).status == 404


def test_names_and_the_one_name_of_a_watch(server, ns, account):
    account(rule("get list watch update", "configmaps", resourceNames=["a"]))
    for name in "ab":
        server.post(path(ns), {"metadata": {"name": name}})
    t = account.token
    assert server.get(path(ns, "configmaps", "a"), token=t).status == 200
    assert server.get(path(ns, "configmaps", "b"), token=t).status == 403
    assert server.get(path(ns), token=t).status == 403
    only = server.get(path(ns) + "?fieldSelector=metadata.name%3Da", token=t)
    assert [i["metadata"]["name"] for i in only.json["items"]] == ["a"]
    assert server.get(path(ns) + "?fieldSelector=metadata.name%3Da,metadata.namespace%3Dx", token=t).status == 403


def test_a_cluster_role_by_either_binding(server, ns, account):
    account(rule("list", "secrets"), cluster=True)
    assert server.get("/api/v1/secrets", token=account.token).status == 200
    account(of=("ClusterRole", "view"), name="by-role-binding")
    assert server.get(path(ns), token=account.token).status == 200, "view gathers system:aggregate-to-view"
    assert server.get(path("default"), token=account.token).status == 403
    assert server.get(f"/api/v1/namespaces/{ns}", token=account.token).status == 200, "a namespace is in itself"
    assert server.get("/api/v1/namespaces/default", token=account.token).status == 403


def test_a_change_holds_at_once(server, ns, account):
    account(rule("list", "configmaps"))
    assert server.get(path(ns), token=account.token).status == 200
    server.put(f"{roles(ns)}/r", {"metadata": {"name": "r"}, "rules": [rule("get", "configmaps")]})
    assert server.get(path(ns), token=account.token).status == 403
    server.put(f"{roles(ns)}/r", {"metadata": {"name": "r"}, "rules": [rule("*", "*", ["*"])]})
    assert server.get(path(ns), token=account.token).status == 200
    server.delete(f"{bindings(ns)}/r")
    assert server.get(path(ns), token=account.token).status == 403


def test_nobody_gives_more_than_he_has(server, ns, account):
    account(rule("create update get", "roles rolebindings", ["rbac.authorization.k8s.io"]), rule("get", "configmaps"))
    t = account.token
    within = {"metadata": {"name": "w"}, "rules": [rule("get", "configmaps")]}
    assert server.post(roles(ns), within, token=t).status == 201
    beyond = {"metadata": {"name": "b"}, "rules": [rule("get", "configmaps secrets")]}
    r = server.post(roles(ns), beyond, token=t)
    assert r.status == 403 and "is attempting to grant RBAC permissions not currently held" in r.json["message"]
    assert server.put(f"{roles(ns)}/w", {"metadata": {"name": "w"}, "rules": [rule("*", "*", ["*"])]}, token=t).status == 403
    to = {"subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": ns}]}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "w"}
    assert server.post(bindings(ns), {"metadata": {"name": "w"}, "roleRef": ref, **to}, token=t).status == 201
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    assert server.post(bindings(ns), {"metadata": {"name": "x"}, "roleRef": admin, **to}, token=t).status == 403
    assert server.get("/api/v1/secrets", token=t).status == 403
    server.delete(f"{bindings(ns)}/w")


def test_a_role_that_gathers_others_takes_all_rights(server, ns, account):
    """Else who may change a role that he has would gather whatever there is into it."""
    account(rule("get create update patch", "clusterroles", ["rbac.authorization.k8s.io"]), cluster=True)
    gather = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}]}}
    role = f"{GROUP}/clusterroles/{ns}-r"
    now = server.get(role).json
    for answer in (server.put(role, {**now, **gather}, token=account.token), server.patch(role, gather, token=account.token),
                   server.post(f"{GROUP}/clusterroles", {"metadata": {"name": f"{ns}-new"}, "rules": [], **gather}, token=account.token)):
        assert answer.status == 403 and "not currently held" in answer.json["message"], answer.body
    assert server.get("/api/v1/secrets", token=account.token).status == 403


def test_reviews_answer_what_would_happen(server, ns, account):
    account(rule("get", "configmaps"))

    def may(token, **of):
        r = server.post(f"{REVIEW}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": of}}, token=token)
        assert r.status == 201, r.body
        return r.json["status"]["allowed"]

    assert may(account.token, namespace=ns, verb="get", resource="configmaps")
    assert not may(account.token, namespace=ns, verb="list", resource="configmaps")
    assert not may(account.token, namespace="default", verb="get", resource="configmaps")
    assert may("e2e-admin-token", verb="delete", resource="nodes")
    user = {"user": f"system:serviceaccount:{ns}:sa", "groups": ["system:serviceaccounts"]}
    for kind, at, of in (("configmaps", f"{REVIEW}/subjectaccessreviews", True), ("secrets", f"{REVIEW}/subjectaccessreviews", False),
                         ("configmaps", f"{REVIEW}/namespaces/{ns}/localsubjectaccessreviews", True)):
        r = server.post(at, {"spec": {**user, "resourceAttributes": {"namespace": ns, "verb": "get", "resource": kind}}})
        assert r.status == 201 and r.json["status"]["allowed"] == of, r.body
    def jane_may(*groups):
        spec = {"user": "jane", "groups": list(groups), "resourceAttributes": {"namespace": ns, "verb": "get", "resource": "configmaps"}}
        return server.post(f"{REVIEW}/subjectaccessreviews", {"spec": spec}).json["status"]["allowed"]
    assert not jane_may() and not jane_may("system:authenticated") and jane_may("system:masters"), "nobody is taken for one of the lab's own by his name"
    binding = {"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "jane"}]}
    assert server.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", binding).status == 201
    assert jane_may()
    r = server.post(f"{REVIEW}/selfsubjectrulesreviews", {"spec": {"namespace": ns}}, token=account.token)
    assert rule("get", "configmaps") in r.json["status"]["resourceRules"]
    assert any("/api" in of["nonResourceURLs"] for of in r.json["status"]["nonResourceRules"])


@pytest.mark.parametrize("body, message", [
    ({"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs: Required value: verbs must contain at least one value"),
    ({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}, "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
    ({"rules": [{"verbs": ["get"], "apiGroups": [""]}]}, "rules[0].resources: Required value: resource rules must supply at least one resource"),
    ({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}, "namespaced rules cannot apply to non-resource URLs"),
    ({"metadata": {"name": "a%b"}}, "metadata.name: Invalid value: \"a%b\": may not contain '%'"),
])
def test_roles_that_are_refused(server, ns, body, message):
    r = server.post(roles(ns), {"metadata": {"name": "x"}, **body})
    assert r.status == 422 and message in r.json["message"], r.json["message"]


def test_bindings_that_are_refused(server, ns):
    def post(**body):
        r = server.post(bindings(ns), {"metadata": {"name": "x"}, "roleRef": {"kind": "Role", "name": "r"}, **body})
        return r.json.get("message", "")

    assert 'roleRef.kind: Unsupported value: "Pod"' in post(roleRef={"kind": "Pod", "name": "r"})
    assert "roleRef.name: Required value" in post(roleRef={"kind": "Role"})
    assert "subjects[0].namespace: Required value" in post(subjects=[{"kind": "ServiceAccount", "name": "a"}])
    assert 'subjects[0].kind: Unsupported value: "Robot"' in post(subjects=[{"kind": "Robot", "name": "a"}])
    assert server.post(bindings(ns), {"metadata": {"name": "ok"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}).status == 201
    held = server.get(f"{bindings(ns)}/ok").json
    assert held["roleRef"]["apiGroup"] == held["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    held["roleRef"]["name"] = "other"
    r = server.put(f"{bindings(ns)}/ok", held)
    assert r.status == 422 and "roleRef: Invalid value" in r.json["message"] and "cannot change roleRef" in r.json["message"]


def test_to_be_another(server, ns, account):
    account(rule("list", "configmaps"))
    sa = f"system:serviceaccount:{ns}:sa"
    as_account = {"Impersonate-User": sa}
    assert server.get(path(ns), headers=as_account).status == 200
    r = server.get(path(ns, "secrets"), headers=as_account)
    assert r.status == 403 and f'User "{sa}" cannot list resource "secrets"' in r.json["message"]
    me = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=as_account).json["status"]["userInfo"]
    assert me == {"username": sa, "groups": ["system:serviceaccounts", f"system:serviceaccounts:{ns}", "system:authenticated"]}
    assert server.get(path(ns), headers={"Impersonate-User": "bob"}).status == 403, "nobody gave bob a role"
    assert server.get(path(ns), headers={"Impersonate-User": "bob", "Impersonate-Group": "system:masters"}).status == 200
    r = server.get(path(ns), headers={"Impersonate-User": "bob"}, token=account.token)
    assert r.status == 403 and r.json["message"] == f'users "bob" is forbidden: User "{sa}" cannot impersonate resource "users" in API group "" at the cluster scope'
    assert server.get(path(ns), headers={"Impersonate-Group": "system:masters"}).status == 400
