"""How one may ask: methods, forms of answers, options of lists and watches, paths."""
from .cases import NS, ask, case, create, obj, where

CM = where("ConfigMap")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"

for method in ("HEAD", "OPTIONS", "POST", "PUT", "PATCH", "TRACE"):
    if method in ("HEAD", "OPTIONS", "TRACE"):
        case(f"method: {method} of a list", ask(CM, method))
    case(f"method: {method} of an object that is not there", ask(CM + "/none", method))
for what, accept in {
    "json": "application/json", "yaml": "application/yaml", "protobuf or json": "application/vnd.kubernetes.protobuf,application/json", "all": "*/*",
    "cbor": "application/cbor", "xml": "application/xml", "table": TABLE, "table or json": TABLE + ",application/json",
    "metadata": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
}.items():
    case(f"accept: {what}", ask(CM, Accept=accept))
for v in ("v2", "v2beta1"):
    case(f"discovery: {v}", ask("/apis", Accept=DISCOVERY.format(v)))
case("discovery: v2beta1 or plain", ask("/apis", Accept=DISCOVERY.format("v2beta1") + ",application/json"))
PAGE = "a page of text there; here a Status, which clients can read"
PAGES = ("/apis/none.example", "/openapi/v3/none", "/nothing", "/apis/example.org/v1/things")
for path in ("/", "/api", "/api/", "/api/v1", "/api/v2", "/apis", "/apis/apps", "/apis/apps/v1", "/apis/apps/v9", "/apis/none.example", "/version", "/version/",
             "/healthz", "/livez", "/readyz", "/readyz/ping", "/livez/ping", "/openapi/v2", "/openapi/v3", "/openapi/v3/none", "/openid/v1/jwks",
             "/.well-known/openid-configuration", "/nothing", "/api/v1/none", "/api/v1/namespaces/none/configmaps", "/api/v1/namespaces/none",
             f"/api/v1/namespaces/{NS}/configmaps/none", f"/api/v1/namespaces/{NS}/none/x", CM + "/", "/api/v1/watch/none", "/apis/apps/v1/none",
             f"/api/v1/namespaces/{NS}/pods/none/log", f"/api/v1/namespaces/{NS}/pods/none/none", "/apis/example.org/v1/things"):
    case(f"path: {path}", ask(path), differs=PAGE if path in PAGES else None)
for query in ("limit=1", "limit=-1", "limit=x", "limit=1&resourceVersion=0", "resourceVersion=0", "resourceVersion=abc", "resourceVersion=99999999",
              "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersionMatch=Exact", "resourceVersionMatch=Newer&resourceVersion=1", "continue=abc",
              "labelSelector=a%20b", "labelSelector=a%20in%20(b)", "labelSelector=a!=b,c", "fieldSelector=metadata.name=x", "fieldSelector=data=x",
              "fieldSelector=metadata.name", "sendInitialEvents=true", "bogus=1", "pretty=true", "timeoutSeconds=5", "watch=false",
              "watch=1&timeoutSeconds=1", "watch=1&timeoutSeconds=1&resourceVersion=0", "watch=1&resourceVersion=abc", "watch=1&timeoutSeconds=x",
              "watch=1&timeoutSeconds=1&resourceVersion=99999999", "watch=1&timeoutSeconds=1&sendInitialEvents=true",
              "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
              "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
              "watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=Exact", "watch=1&timeoutSeconds=1&resourceVersionMatch=NotOlderThan",
              "watch=1&timeoutSeconds=1&labelSelector=a%20b"):
    case(f"list: {query}", ask(f"{CM}?{query}"), differs="of two causes that say the same, one" if query.endswith("Match=Exact") and "watch" in query else None)
for kind, fields in {"Pod": ("status.podIPs=x", "status.podIP=x", "spec.nodeName=", "spec.image=x"), "ReplicaSet": ("status.replicas=0", "metadata.name=x"),
                     "Service": ("spec.clusterIP=x", "spec.type=NodePort", "spec.selector=x"), "Node": ("spec.unschedulable=true", "status.x=1"),
                     "Secret": ("type=x",), "Event": ("reason=x", "involvedObject.kind=Pod", "message=x"), "Namespace": ("status.phase=Active",),
                     "Deployment": ("status.replicas=0",), "EndpointSlice": ("addressType=IPv4",)}.items():
    for f in fields:
        case(f"fields: {kind} {f}", ask(where(kind) + "?fieldSelector=" + f.replace("=", "%3D")))
case("watch: old form", ask(f"/api/v1/watch/namespaces/{NS}/configmaps?timeoutSeconds=1"))
case("watch: one object", create(obj("ConfigMap", "c")), ask(f"{CM}/c?watch=1&timeoutSeconds=1"))
case("scale: of nothing", ask(where("Deployment", "none", "scale")))
