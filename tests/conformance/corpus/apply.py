"""Server-side apply, and what other writes leave in managedFields."""
from .cases import Step, case, create, merge, obj, service, where
from .custom import thing


def apply(o, manager="me", query="", sub=None, name=None):
    kind, name = o.get("kind"), name or o["metadata"]["name"]
    return Step("PATCH", where(kind, name, sub) + f"?fieldManager={manager}{query}", o, "application/apply-patch+yaml", made=where(kind, name))


def get(kind, name):
    return Step("GET", where(kind, name))


def dep(*containers, **spec):
    return obj("Deployment", "d", spec={"selector": {"matchLabels": {"a": "b"}},
                                        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": list(containers)}}, **spec})


def part(*containers, **spec):
    template = {"template": {"spec": {"containers": list(containers)}}} if containers else {}
    return obj("Deployment", "d", spec={**template, **spec})


def box(name="c", **more):
    return {"name": name, "image": "nginx:1", **more}


def cm(**data):
    return obj("ConfigMap", "c", data=data)


case("apply creates", apply(cm(a="1")), get("ConfigMap", "c"))
case("apply twice", apply(cm(a="1")), apply(cm(a="1")), get("ConfigMap", "c"))
case("apply takes out what is no more applied", apply(cm(a="1", b="2")), apply(cm(a="1")), get("ConfigMap", "c"))
case("apply by two", apply(cm(a="1")), apply(cm(b="2"), "you"), apply(cm(), "you"), get("ConfigMap", "c"))
case("apply the same by two", apply(cm(a="1")), apply(cm(a="1"), "you"), apply(cm()), get("ConfigMap", "c"), apply(cm(), "you"), get("ConfigMap", "c"))
case("apply conflict", apply(cm(a="1")), apply(cm(a="2"), "you"), apply(cm(a="2"), "you", "&force=true"), get("ConfigMap", "c"), apply(cm(a="1")))
case("apply conflict with an update", create(cm(a="1", b="1")), apply(cm(a="2", b="2")), apply(cm(a="1", b="1")))
case("apply after a patch of another", apply(cm(a="1")), merge("ConfigMap", "c", {"data": {"a": "2"}}), apply(cm(a="1")), apply(cm(a="1"), query="&force=true"))
case("apply needs a manager", Step("PATCH", where("ConfigMap", "c"), cm(), "application/apply-patch+yaml"))
case("apply with a long manager", apply(cm(), "x" * 129))
case("apply unknown field", apply({**cm(), "dat": {}}))
case("apply unknown field deep", apply(part(box(zz=1))))
case("apply wrong type", apply(part(replicas="x")))
case("apply managed fields", apply(obj("ConfigMap", "c", metadata={"managedFields": [{"manager": "x"}]})))
case("apply another name", apply(cm(), name="other"))
case("apply no kind", Step("PATCH", where("ConfigMap", "c") + "?fieldManager=me", {"metadata": {"name": "c"}}, "application/apply-patch+yaml"))
case("apply another version", Step("PATCH", where("Deployment", "d") + "?fieldManager=me", {"apiVersion": "apps/v2", "kind": "Deployment", "metadata": {"name": "d"}},
                                   "application/apply-patch+yaml"))
case("apply no name", Step("PATCH", where("ConfigMap", "c") + "?fieldManager=me", {"apiVersion": "v1", "kind": "ConfigMap"}, "application/apply-patch+yaml"))
case("apply no yaml", Step("PATCH", where("ConfigMap", "c") + "?fieldManager=me", "{a: [", "application/apply-patch+yaml"))
case("apply an older version", create(cm(a="1")), apply(obj("ConfigMap", "c", metadata={"resourceVersion": "1"})))
case("apply a version of none", apply(obj("ConfigMap", "c", metadata={"resourceVersion": "1"})))
case("apply a uid of none", apply(obj("ConfigMap", "c", metadata={"uid": "1"})))
case("apply dry run", apply(cm(a="1"), query="&dryRun=All"), get("ConfigMap", "c"))
case("apply invalid", apply(obj("ConfigMap", "c", data={"a/b": "1"})), apply(obj("Deployment", "d", spec={})))
case("apply status of none", apply(obj("Deployment", "none", status={"replicas": 1}), sub="status"))
case("apply a deployment", apply(dep(box(ports=[{"containerPort": 80}], env=[{"name": "A", "value": "1"}]), replicas=2)), get("Deployment", "d"),
     apply(part(box("e")), "you"), get("Deployment", "d"), apply(part(box("c", image="z"), replicas=3), "you"),
     apply(part(box("c", image="z"), replicas=3), "you", "&force=true"), get("Deployment", "d"), apply(part(), "you"), get("Deployment", "d"))
case("apply to lists of keys", apply(dep(box(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))), apply(part({"name": "c", "env": [{"name": "C", "value": "3"}]}), "you"),
     apply(dep(box(env=[{"name": "B", "value": "2"}]))), get("Deployment", "d"))
case("apply the same key twice", apply(dep(box(), box())))
case("apply no key", apply(dep({"image": "x"})))
case("apply status", apply(dep(box())), apply(obj("Deployment", "d", status={"readyReplicas": 1, "replicas": 1}), sub="status"), get("Deployment", "d"))
case("apply service ports", apply(service(metadata={"labels": {"a": "b"}}, ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "b", "protocol": "UDP"}], selector={"a": "b"})),
     apply(obj("Service", "s", spec={"ports": [{"port": 82, "name": "c"}]}), "you"), get("Service", "s"))
case("apply atomic map", apply(service(selector={"a": "b"})), apply(obj("Service", "s", spec={"selector": {"c": "d"}}), "you"))
case("apply labels", apply(obj("ConfigMap", "c", metadata={"labels": {"a": "1"}, "annotations": {"x": "1"}})),
     apply(obj("ConfigMap", "c", metadata={"labels": {"b": "1"}}), "you"), merge("ConfigMap", "c", {"metadata": {"labels": {"a": None}}}), get("ConfigMap", "c"))
case("apply finalizers", apply(obj("ConfigMap", "c", metadata={"finalizers": ["e.example/a"]})), apply(obj("ConfigMap", "c", metadata={"finalizers": ["e.example/b"]}), "you"),
     apply(obj("ConfigMap", "c"), "you"), get("ConfigMap", "c"))
case("managed fields reset", create(cm(a="1")), merge("ConfigMap", "c", {"metadata": {"managedFields": [{}]}}), get("ConfigMap", "c"),
     merge("ConfigMap", "c", {"data": {"b": "1"}}), get("ConfigMap", "c"), apply(cm(a="1")), apply(cm(a="2"), "you"), get("ConfigMap", "c"))
case("managed fields of a service", create(service()), get("Service", "s"))
case("managed fields of a thing", create(thing(number=1, map=[{"name": "a"}], set=["x"], labels={"a": "b"})), merge("Thing", "t", {"spec": {"number": 2}}), get("Thing", "t"))
case("apply a thing", apply(thing(number=1, map=[{"name": "a", "v": "1"}, {"name": "b"}], set=["x", "y"], few=[1, 2], any={"x": {"y": 1}})),
     apply(thing(map=[{"name": "c"}], set=["z"]), "you"), get("Thing", "t"), apply(thing(few=[3]), "you"), apply(thing(map=[{"name": "b"}], set=["y"])), get("Thing", "t"))
case("apply a thing unknown", apply(thing(zz=1)))
case("apply a thing invalid", apply(thing(number=100)))
case("apply status of a thing", apply(thing(number=1)), apply({**obj("Thing", "t"), "status": {"n": 3}}, sub="status"), get("Thing", "t"))
