"""CustomResourceDefinitions and the objects of those that prepare() makes (CRDS)."""
from .cases import KINDS, Step, case, create, json_patch, merge, obj, strategic, update

GROUP = "corpus.example.com"


def prop(**schema):
    return {"type": "object", "properties": schema}


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
SPEC = prop(
    text={"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
    choice={"type": "string", "enum": ["a", "b"]}, number={"type": "integer", "minimum": 1, "maximum": 10},
    above={"type": "number", "minimum": 0, "exclusiveMinimum": True, "multipleOf": 0.5}, small={"type": "integer", "format": "int32"},
    flag={"type": "boolean"}, either={"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, STRING]},
    few={"type": "array", "minItems": 1, "maxItems": 2, "items": INTEGER}, set={"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
    map={"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"],
         "items": {"type": "object", "required": ["name"],
                   "properties": {"name": STRING, "port": {"type": "integer", "default": 80}, "v": STRING}}},
    labels={"type": "object", "maxProperties": 2, "minProperties": 1, "additionalProperties": STRING},
    any={"type": "object", "x-kubernetes-preserve-unknown-fields": True}, open={"type": "object"}, nothing={"type": "string", "nullable": True},
    defaulted={"type": "string", "default": "d"}, inner={**prop(a={"type": "string", "default": "x"}, b=STRING), "required": ["b"]},
    when={"type": "string", "format": "date-time"}, day={"type": "string", "format": "date"}, ip={"type": "string", "format": "ipv4"},
    wait={"type": "string", "format": "duration"}, bytes={"type": "string", "format": "byte"},
    one={**prop(x=STRING, y=STRING), "oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
    some={**prop(x=INTEGER, y=INTEGER), "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
    no={**prop(x=INTEGER), "not": {"required": ["x"]}}, every={**prop(x=INTEGER), "allOf": [{"properties": {"x": {"minimum": 5}}}]})


def version(name="v1", schema=None, served=True, storage=True, **more):
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema or prop(spec=SPEC, status=prop(n=INTEGER, replicas=INTEGER))}, **more}


def definition(plural, kind, *versions, scope="Namespaced", group=GROUP, names=None, **spec):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": scope, "names": {"plural": plural, "kind": kind, **(names or {})},
                     "versions": list(versions) or [version()], **spec}}


SUBRESOURCES = {"status": {}, "scale": {"specReplicasPath": ".spec.number", "statusReplicasPath": ".status.replicas"}}
CRDS = [
    definition("things", "Thing", version(subresources=SUBRESOURCES)),
    definition("plains", "Plain", version(schema=prop(spec=prop(a=STRING), status=prop(b=STRING))), scope="Cluster"),
    definition("multis", "Multi", version(schema=prop(spec=prop(a=STRING, old=STRING))),
               version("v2", schema=prop(spec=prop(a=STRING, new={"type": "string", "default": "n"})), storage=False)),
]
KINDS.update({"Thing": (f"/apis/{GROUP}/v1", "things", True), "Plain": (f"/apis/{GROUP}/v1", "plains", False),
              "Multi": (f"/apis/{GROUP}/v1", "multis", True),
              "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False)})


def thing(name="t", **spec):
    return obj("Thing", name, spec=spec)


# ---- values ----

VALUES = {
    "text": ["abc", "a", "abcdef", "ABC", 5, None, True, ""], "choice": ["a", "c", 1], "number": [1, 0, 10, 11, 1.5, 2.0, "3", None],
    "above": [0.5, 0, 0.7, -1, 2.5], "small": [2147483647, 2147483648, -2147483649], "flag": [True, "true", 1],
    "either": [1, "1", 1.5, True, {}, None], "few": [[1], [], [1, 2, 3], ["a"], {}, "x"], "set": [["a", "b"], ["a", "a"], [], ["a", 1]],
    "map": [[{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": "a"}], [{"name": "a"}, {"name": "a", "port": 81}], [{"port": 80}], ["a"]],
    "labels": [{"a": "b"}, {}, {"a": "1", "b": "2", "c": "3"}, {"a": 1}, []], "any": [{"x": {"y": [1]}}, 1], "open": [{"x": 1}, {}],
    "nothing": [None, "x", 1], "defaulted": [None, "x", 1], "inner": [{}, {"b": "x"}, {"a": None, "b": "c"}, {"b": None}, []],
    "when": ["2024-01-02T03:04:05Z", "yesterday"], "day": ["2024-01-02", "2024-13-02"], "ip": ["1.2.3.4", "1.2.3", "::1"],
    "wait": ["5s", "1h2m", "abc"], "bytes": ["YWJj", "?"], "one": [{}, {"x": "1"}, {"x": "1", "y": "2"}, {"x": 1}],
    "some": [{}, {"x": 1}, {"x": "1"}, {"x": 1, "y": 2}], "no": [{}, {"x": 1}], "every": [{"x": 5}, {"x": 4}, {"x": "a"}],
}
for field, values in VALUES.items():
    for i, value in enumerate(values):
        case(f"custom value {field} {i}", create(thing(**{field: value})))
case("custom several wrong", create(thing(text="A", number=0, choice="z")))
case("custom no spec", create(obj("Thing", "t")))
case("custom spec of another type", create(obj("Thing", "t", spec=[])))
case("custom spec null", create(obj("Thing", "t", spec=None)))
case("custom unknown field", create(thing(zz=1)))
case("custom unknown field strict", create(thing(zz=1), query="?fieldValidation=Strict"))
case("custom unknown fields strict deep", create(thing(inner={"b": "x", "zz": 1}, map=[{"name": "a", "q": 1}]), query="?fieldValidation=Strict"))
case("custom unknown field ignored", create(thing(zz=1), query="?fieldValidation=Ignore"))
case("custom unknown root", create(obj("Thing", "t", spec={}, extra=1)))
case("custom unknown in metadata", create(obj("Thing", "t", metadata={"zz": "1"}, spec={})))
case("custom bad name", create(thing("Not_a_name")))
case("custom bad label", create(obj("Thing", "t", metadata={"labels": {"a": "b c"}}, spec={})))
case("custom label of another type", create(obj("Thing", "t", metadata={"labels": {"a": 1}}, spec={})))
case("custom no name", create(obj("Thing", None, spec={})))
case("custom another kind", Step("POST", f"/apis/{GROUP}/v1/namespaces/corpus/things", {**thing(), "kind": "Other"}))
case("custom another version", create({**thing(), "apiVersion": f"{GROUP}/v2"}))
case("custom twice", create(thing()), create(thing()))
case("custom dry run", create(thing(), query="?dryRun=All"), Step("GET", f"/apis/{GROUP}/v1/namespaces/corpus/things/t"))
case("custom yaml", Step("POST", f"/apis/{GROUP}/v1/namespaces/corpus/things",
                         f"apiVersion: {GROUP}/v1\nkind: Thing\nmetadata: {{name: y}}\nspec: {{number: 5}}\n", "application/yaml",
                         made=f"/apis/{GROUP}/v1/namespaces/corpus/things/y"))

# ---- changes ----

case("custom update", create(thing(number=1)), update(thing(number=2)))
case("custom update of none", update(thing(number=2)))
case("custom update to wrong", create(thing(number=1)), update(thing(number=20)))
case("custom merge patch", create(thing(number=1)), merge("Thing", "t", {"spec": {"number": 5}}), merge("Thing", "t", {"spec": {"number": "x"}}))
case("custom merge patch unknown", create(thing()), merge("Thing", "t", {"spec": {"zz": 5}}), merge("Thing", "t", {"spec": {"zz": 5}}, query="?fieldValidation=Strict"))
case("custom json patch", create(thing(number=1)), json_patch("Thing", "t", {"op": "replace", "path": "/spec/number", "value": 3}),
     json_patch("Thing", "t", {"op": "test", "path": "/spec/number", "value": 9}), json_patch("Thing", "t", {"op": "remove", "path": "/spec/none"}))
case("custom strategic patch", create(thing()), strategic("Thing", "t", {"spec": {"number": 3}}))
case("custom old version", create(thing()), update({**thing(number=3), "metadata": {"name": "t", "resourceVersion": "1"}}))
case("custom status", create({**thing(), "status": {"n": 1}}), update({**thing(), "status": {"n": 2}}, "status"),
     update({**thing(), "status": {"n": "x"}}, "status"), merge("Thing", "t", {"status": {"n": 5}}, "status"))
case("custom status by patch of spec", create(thing()), merge("Thing", "t", {"spec": {"number": 50}}, "status"))
case("custom no status", create(obj("Plain", "p", spec={"a": "x"})), update(obj("Plain", "p", status={"b": "x"}), "status"),
     Step("GET", f"/apis/{GROUP}/v1/plains/p/status"), Step("GET", f"/apis/{GROUP}/v1/plains/p/scale"))
case("custom scale", create(thing(number=2)), Step("GET", f"/apis/{GROUP}/v1/namespaces/corpus/things/t/scale"),
     merge("Thing", "t", {"spec": {"replicas": 3}}, "scale"), merge("Thing", "t", {"spec": {"replicas": -1}}, "scale"),
     merge("Thing", "t", {"spec": {"replicas": 300}}, "scale"))
case("custom scale of none", merge("Thing", "none", {"spec": {"replicas": 3}}, "scale"))
case("custom fixed metadata", create(thing()), merge("Thing", "t", {"metadata": {"name": "u"}}), merge("Thing", "t", {"metadata": {"uid": "u"}}))
case("custom versions", create(obj("Multi", "m", spec={"a": "x", "old": "y"})), Step("GET", f"/apis/{GROUP}/v2/namespaces/corpus/multis/m"),
     Step("PUT", f"/apis/{GROUP}/v2/namespaces/corpus/multis/m", {"apiVersion": f"{GROUP}/v2", "kind": "Multi", "metadata": {"name": "m"}, "spec": {"new": "z"}}))
case("custom selectors", create(thing()), Step("GET", f"/apis/{GROUP}/v1/namespaces/corpus/things?fieldSelector=metadata.name=t"),
     Step("GET", f"/apis/{GROUP}/v1/namespaces/corpus/things?fieldSelector=spec.number=1"))
case("custom wrong stays where it is not touched", create(obj("Plain", "p", spec={"a": "x"})), merge("Plain", "p", {"metadata": {"labels": {"a": "b"}}}))

# ---- definitions ----


def bad(what, schema=None, change=None, **more):
    d = definition("bads", "Bad", version(schema=schema or prop(spec=prop(a=STRING)), **more))
    if change:
        change(d["spec"], d)
    case(f"crd {what}", create(d))


def put(path, value):
    def change(spec, d):
        *way, last = path.split(".")
        at = d
        for w in way:
            at = at[int(w)] if w.isdigit() else at[w]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return change


FIELDS = {
    "no type": {"description": "x"}, "unknown type": {"type": "text"}, "null type": {"type": "null"}, "no items": {"type": "array"},
    "items list": {"type": "array", "items": [STRING]}, "items no type": {"type": "array", "items": {}}, "unique": {"type": "array", "items": STRING, "uniqueItems": True},
    "ref": {"type": "string", "$ref": "#/x"}, "definitions": {"type": "object", "definitions": {"a": STRING}},
    "both properties": {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
    "pattern properties": {"type": "object", "patternProperties": {"a": STRING}}, "dependencies": {"type": "object", "dependencies": {"a": ["b"]}},
    "bad default": {"type": "string", "default": 5}, "default unknown": {"type": "object", "default": {"z": 1}},
    "default min": {"type": "integer", "minimum": 5, "default": 1}, "list type": {"type": "array", "items": STRING, "x-kubernetes-list-type": "bag"},
    "list type string": {"type": "string", "x-kubernetes-list-type": "set"}, "map no keys": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
    "map key unknown": {"type": "array", "items": prop(a=STRING), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["z"]},
    "map key optional": {"type": "array", "items": prop(a=STRING), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
    "map of strings": {"type": "array", "items": STRING, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
    "keys no map": {"type": "array", "items": prop(a=STRING), "x-kubernetes-list-map-keys": ["a"]},
    "set of objects": {"type": "array", "items": prop(a=STRING), "x-kubernetes-list-type": "set"},
    "map type": {"type": "object", "x-kubernetes-map-type": "odd"}, "map type string": {"type": "string", "x-kubernetes-map-type": "atomic"},
    "branch type": {"type": "object", "anyOf": [{"type": "object"}]}, "branch default": {"type": "string", "allOf": [{"default": "x"}]},
    "branch description": {"type": "string", "oneOf": [{"description": "x"}]}, "not type": {"type": "string", "not": {"type": "string"}},
    "branch new property": {"type": "object", "anyOf": [{"properties": {"zz": {"minLength": 1}}}]},
    "int or string": {"x-kubernetes-int-or-string": True}, "int or string typed": {"type": "string", "x-kubernetes-int-or-string": True},
    "preserve": {"x-kubernetes-preserve-unknown-fields": True}, "preserve false": {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
    "embedded": {"type": "object", "x-kubernetes-embedded-resource": True}, "embedded string": {"type": "string", "x-kubernetes-embedded-resource": True},
    "bad pattern": {"type": "string", "pattern": "("}, "nullable": {"type": "string", "nullable": True}, "additional true": {"type": "object", "additionalProperties": True},
    "enum": {"type": "string", "enum": ["a"]}, "format": {"type": "string", "format": "odd"}, "minimum text": {"type": "integer", "minimum": "x"},
    "unknown word": {"type": "string", "minlength": 5},
}
DIFFERS = {"minimum text": "a real server's decoder stops at it with 400"}
for what, schema in FIELDS.items():
    case(f"crd field {what}", create(definition("bads", "Bad", version(schema=prop(spec=prop(f=schema))))), differs=DIFFERS.get(what))
bad("fine")
bad("root no type", {"properties": {}})
bad("root string", {"type": "string"})
bad("root additional", {"type": "object", "additionalProperties": STRING})
bad("root nullable", {"type": "object", "nullable": True})
bad("root preserve", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
bad("metadata", prop(metadata=prop(name={"type": "string", "maxLength": 5})))
bad("metadata more", prop(metadata=prop(labels={"type": "object"})))
for what, path, value in (
        ("no group", "spec.group", None), ("group without dot", "spec.group", "x"), ("group upper", "spec.group", "X.y"), ("no scope", "spec.scope", None), ("odd scope", "spec.scope", "Odd"),
        ("no names", "spec.names", None), ("no plural", "spec.names.plural", None), ("no kind", "spec.names.kind", None), ("upper plural", "spec.names.plural", "Bads"),
        ("odd kind", "spec.names.kind", "Bad_Kind"), ("list kind same", "spec.names.listKind", "Bad"), ("short name", "spec.names.shortNames", ["Ab"]),
        ("category", "spec.names.categories", ["a_b"]), ("name", "metadata.name", "other.corpus.example.com"), ("no versions", "spec.versions", []),
        ("no schema", "spec.versions.0.schema", None), ("not stored", "spec.versions.0.storage", False), ("version name", "spec.versions.0.name", "V1"),
        ("preserve all", "spec.preserveUnknownFields", True), ("conversion", "spec.conversion", {"strategy": "Odd"}),
        ("conversion none with hook", "spec.conversion", {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}),
        ("column", "spec.versions.0.additionalPrinterColumns", [{"name": "A", "type": "odd", "jsonPath": ".x"}]),
        ("column empty", "spec.versions.0.additionalPrinterColumns", [{}]), ("column no path", "spec.versions.0.additionalPrinterColumns", [{"name": "a", "type": "string"}]),
        ("scale", "spec.versions.0.subresources", {"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".spec.y"}}),
        ("scale empty", "spec.versions.0.subresources", {"scale": {}}), ("scale path", "spec.versions.0.subresources", {"scale": {"specReplicasPath": "spec", "statusReplicasPath": ".status.a[0]"}}),
        ("deprecated", "spec.versions.0.deprecationWarning", "x"), ("unknown field", "spec.zz", 1)):
    bad(what, change=put(path, value))
case("crd conversion webhook", create(definition("bads", "Bad", conversion={"strategy": "Webhook", "webhook": {
    "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/"}}})), differs="the lab calls no conversion webhooks")
bad("two stored", change=lambda spec, d: spec["versions"].append(version("v2", schema=prop(spec=prop(a=STRING)))))
bad("same version twice", change=lambda spec, d: spec["versions"].append(version("v1", schema=prop(spec=prop(a=STRING)), storage=False)))
bad("second schema wrong", change=lambda spec, d: spec["versions"].append(version("v2", schema=prop(spec={}), storage=False)))
GOOD = definition("goods", "Good", version(schema=prop(spec=prop(a=STRING))))
case("crd change of group and plural", create(GOOD), merge("CustomResourceDefinition", GOOD["metadata"]["name"], {"spec": {"group": "other.example.com"}}))
case("crd more versions", create(GOOD), merge("CustomResourceDefinition", GOOD["metadata"]["name"], {"spec": {"versions": [
    version("v2", schema=prop(spec=prop(b=STRING)))]}}))
case("crd twice", create(GOOD), create(GOOD))
for i, approval in enumerate((None, "", "x", "unapproved, a test", "https://example.com/1")):
    d = definition("bads", "Bad", version(schema=prop(spec=prop(a=STRING))), group="corpus.k8s.io")
    d["metadata"]["annotations"] = {} if approval is None else {"api-approved.kubernetes.io": approval}
    case(f"crd of a protected group {i}", create(d))
