"""Configurations of webhooks. All select a namespace that is not there, so none is ever asked."""
from .cases import case, create, json_patch, merge, obj, update

M, V = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
NOWHERE = {"matchLabels": {"none": "such"}}


def rule(**more):
    return {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], **more}


def hook(name="a.example.com", **more):
    o = {"name": name, "clientConfig": {"url": "https://127.0.0.1:1/x"}, "rules": [rule()], "sideEffects": "None", "admissionReviewVersions": ["v1"],
         "namespaceSelector": NOWHERE, **more}
    return {k: v for k, v in o.items() if v is not None}


def conf(*hooks, kind=V, name="c", **more):
    return obj(kind, name, webhooks=list(hooks), **more)


for kind in (M, V):
    case(f"webhooks: {kind}", create(conf(hook(), kind=kind)), update(conf(hook(timeoutSeconds=3), kind=kind)), merge(kind, "c", {"metadata": {"labels": {"a": "b"}}}))
    case(f"webhooks: {kind} without any", create(obj(kind, "c")))
    case(f"webhooks: {kind} name", create(conf(hook(), kind=kind, name="A_b")))
for name in ("", "a", "a.b", "a.b.c", "A.b.c", "a_.b.c", "a..b.c"):
    case(f"webhooks: name {name!r}", create(conf(hook(name))))
case("webhooks: name twice", create(conf(hook(), hook())))
case("webhooks: name missing", create(conf({k: v for k, v in hook().items() if k != "name"})))
for what, more in {
    "side effects missing": {"sideEffects": None}, "side effects Some": {"sideEffects": "Some"}, "side effects Unknown": {"sideEffects": "Unknown"},
    "side effects NoneOnDryRun": {"sideEffects": "NoneOnDryRun"}, "side effects bad": {"sideEffects": "Many"},
    "versions missing": {"admissionReviewVersions": None}, "versions empty": {"admissionReviewVersions": []}, "versions unknown": {"admissionReviewVersions": ["v2"]},
    "versions both": {"admissionReviewVersions": ["v1beta1", "v1"]}, "versions one unknown": {"admissionReviewVersions": ["v2", "v1"]}, "versions twice": {"admissionReviewVersions": ["v1", "v1"]},
    "versions bad": {"admissionReviewVersions": ["V1", "v1"]}, "versions with an empty one": {"admissionReviewVersions": ["", "v1"]},
    "failure policy": {"failurePolicy": "Ignore"}, "failure policy bad": {"failurePolicy": "Open"}, "failure policy empty": {"failurePolicy": ""},
    "match policy": {"matchPolicy": "Exact"}, "match policy bad": {"matchPolicy": "Near"},
    "timeout 0": {"timeoutSeconds": 0}, "timeout 1": {"timeoutSeconds": 1}, "timeout 30": {"timeoutSeconds": 30}, "timeout 31": {"timeoutSeconds": 31}, "timeout below 0": {"timeoutSeconds": -1},
    "no rules": {"rules": []}, "rules missing": {"rules": None},
    "namespace selector In without values": {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
    "namespace selector Exists with values": {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
    "namespace selector key": {"namespaceSelector": {"matchLabels": {"a b": "c"}}},
    "object selector value": {"objectSelector": {"matchLabels": {"a": "-"}}},
    "object selector": {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}},
}.items():
    case(f"webhooks: {what}", create(conf(hook(**more))))
for what, expression in {"operator": {"key": "a", "operator": "Near"}, "key": {"key": "", "operator": "Exists"}}.items():
    case(f"webhooks: selector {what}", create(conf(hook(objectSelector={"matchExpressions": [expression]}))), differs="the reason is that of every other selector here")
for policy in ("Never", "IfNeeded", "Always"):
    case(f"webhooks: reinvocation {policy}", create(conf(hook(reinvocationPolicy=policy), kind=M)))
case("webhooks: reinvocation of a validating one", create(conf(hook(reinvocationPolicy="Never"))))
for url in ("http://a/x", "https://", "https://a", "https://a:1/x", "https://u@a/x", "https://a/x#f", "https://a/x?q=1", "a/x", "", "https://[::1]:8/x", "ftp://u@/x?q#f"):
    case(f"webhooks: url {url}", create(conf(hook(clientConfig={"url": url}))))
SERVICE = {"namespace": "n", "name": "s"}
for what, config in {
    "missing": None, "empty": {}, "both": {"url": "https://a/x", "service": SERVICE}, "service": {"service": SERVICE}, "service empty": {"service": {}},
    "service without a name": {"service": {"namespace": "n"}}, "service without a namespace": {"service": {"name": "s"}},
    "bundle": {"service": SERVICE, "caBundle": "Cg=="}, "bundle that is not base64": {"service": SERVICE, "caBundle": "?"},
    **{f"port {p}": {"service": {**SERVICE, "port": p}} for p in (0, 1, 65535, 65536, -1)},
    **{f"path {p}": {"service": {**SERVICE, "path": p}} for p in ("", "/", "//", "a", "/a", "/a/", "/a/b", "/a//b", "/a//", "/A", "/a b", "/a?b=c", "///")},
}.items():
    case(f"webhooks: client {what}", create(conf(hook(clientConfig=config))), differs="it names the other field than the one that is missing" if what.startswith("service without") else None)
for what, more in {
    "no operations": {"operations": []}, "operation bad": {"operations": ["PATCH"]}, "operations *": {"operations": ["*"]}, "operations * and more": {"operations": ["*", "CREATE"]},
    "operations all": {"operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"]}, "operation empty": {"operations": [""]}, "operations twice": {"operations": ["CREATE", "CREATE"]},
    "no groups": {"apiGroups": []}, "groups *": {"apiGroups": ["*"]}, "groups * and more": {"apiGroups": ["*", "apps"]},
    "no versions": {"apiVersions": []}, "versions * and more": {"apiVersions": ["*", "v1"]}, "version empty": {"apiVersions": [""]},
    "no resources": {"resources": []}, "resource empty": {"resources": [""]}, "resources *": {"resources": ["*"]}, "resources */*": {"resources": ["*/*"]},
    "resources */* and more": {"resources": ["*/*", "pods"]}, "resources * and more": {"resources": ["*", "pods"]}, "resources * and a subresource": {"resources": ["*", "pods/status"]},
    "resources a/* and a/b": {"resources": ["pods/*", "pods/status"]}, "resources a/b and a/*": {"resources": ["pods/status", "pods/*"]},
    "resources */b and a/b": {"resources": ["*/status", "pods/status"]}, "resources a and a/b": {"resources": ["pods", "pods/status"]},
    "scope": {"scope": "Namespaced"}, "scope bad": {"scope": "namespaced"}, "scope *": {"scope": "*"}, "all wrong": {"operations": [], "apiGroups": [], "apiVersions": [], "resources": [], "scope": "x"},
}.items():
    case(f"webhooks: rule {what}", create(conf(hook(rules=[rule(**more)]))), differs="a warning that nobody is asked about CONNECT" if what == "operations all" else None)
case("webhooks: match conditions", create(conf(hook(matchConditions=[{"name": "x", "expression": "true"}]))), differs="no CEL is evaluated: it is refused")
case("webhooks: versions v1beta1 alone", create(conf(hook(admissionReviewVersions=["v1beta1"]))), differs="asked in v1 only: it is refused")
case("webhooks: update to a bad one", create(conf(hook())), update(conf(hook(sideEffects="Some"))), merge(V, "c", {"webhooks": [hook(timeoutSeconds=99)]}))
case("webhooks: bundle kept up", create(conf(hook())), json_patch(V, "c", {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="}))
