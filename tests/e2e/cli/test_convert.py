"""fairlead convert-ingress: golden outputs (GOLDEN_UPDATE=1 writes them; read the diff), the same for any order of the input, and of a form that the APIs take."""
import itertools
import json
import os
import pathlib
import re

import pytest

from manifests import as_stream, fairlead, ingress, path

HERE = pathlib.Path(__file__).parent / "convert"
CASES = sorted(p.name for p in HERE.iterdir())
FORMS = {"istio": (), "gateway-api": ("--output-api", "gateway-api"), "istio-1.8": ("--compat", "1.8")}
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def convert(file, form, *flags, stdin=None):
    done = fairlead("convert-ingress", "-f", file, *FORMS[form], *flags, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_golden(case, form):
    done = convert(HERE / case / "input.yaml", form)
    for end, text in (("yaml", done.stdout), ("err", done.stderr.replace(str(HERE / case) + "/", ""))):
        file = HERE / case / f"{form}.{end}"
        if os.environ.get("GOLDEN_UPDATE"):
            file.write_text(text) if text else file.unlink(missing_ok=True)
        assert text == (file.read_text() if file.exists() else "")


@pytest.mark.parametrize("form", ["istio", "gateway-api"])
@pytest.mark.parametrize("case", CASES)
def test_the_order_of_the_input_means_nothing(case, form):
    documents = (HERE / case / "input.yaml").read_text().split("\n---\n")
    outputs = {convert("-", form, stdin="\n---\n".join(order)).stdout for order in itertools.islice(itertools.permutations(documents), 6)}
    assert len(outputs) == 1


def objects_of(file, form, **kw):
    return json.loads(convert(file, form, "-o", "json", **kw).stdout)["items"]


def check_istio(o):
    if o["kind"] == "Gateway":
        names = [s["port"]["name"] for s in o["spec"]["servers"]]
        assert len(names) == len(set(names)) and all(s["hosts"] for s in o["spec"]["servers"])
        return
    for route in o["spec"]["http"]:
        assert len({"route", "redirect", "directResponse"} & set(route)) == 1, "exactly one action"
        assert set(route) <= {"match", "route", "redirect", "directResponse", "rewrite", "corsPolicy", "headers"}
        for m in route.get("match", []):
            assert set(m) <= {"uri", "headers", "port"} and (m == {} or len(m["uri"]) == 1)
        if len(route.get("route", [])) > 1:
            assert sum(d["weight"] for d in route["route"]) > 0
        assert all(1 <= d["destination"]["port"]["number"] <= 65535 for d in route.get("route", []))


def check_gateway_api(o):
    if o["kind"] == "Gateway":
        names = [l["name"] for l in o["spec"]["listeners"]]
        assert len(names) == len(set(names)) <= 64 and all(len(n) <= 63 and NAME.fullmatch(n) for n in names)
        for l in o["spec"]["listeners"]:
            assert ("tls" in l) == (l["protocol"] == "HTTPS")
        return
    assert 1 <= len(o["spec"]["rules"]) <= 16
    for rule in o["spec"]["rules"]:
        kinds = [f["type"] for f in rule.get("filters", [])]
        assert len(kinds) == len(set(kinds)) and not {"RequestRedirect", "URLRewrite"} <= set(kinds)
        assert not ("RequestRedirect" in kinds and "backendRefs" in rule)
        for m in rule["matches"]:
            assert m["path"]["value"].startswith("/") or m["path"]["type"] == "RegularExpression"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_the_server_would_take_it(case, form):
    objects = objects_of(HERE / case / "input.yaml", form)
    keys = [(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects]
    assert len(keys) == len(set(keys)) and objects
    for o in objects:
        if form != "istio-1.8":
            assert NAME.fullmatch(o["metadata"]["name"]) and len(o["metadata"]["name"]) <= 253
        (check_gateway_api if form == "gateway-api" else check_istio)(o)


def test_one_warning_for_each_thing_that_gets_lost():
    done = convert(HERE / "nginx" / "input.yaml", "istio")
    said = done.stderr.splitlines()
    assert len(said) == len(set(said)) and all(re.match(r"(warning|error): Ingress default/\S+ \(.*input\.yaml:\d+\) \S+: ", line) for line in said)
    for field in ("proxy-read-timeout", "backend-protocol", "configuration-snippet", "nope"):
        assert sum(f"annotations[nginx.ingress.kubernetes.io/{field}]" in line for line in said) == 1


def test_what_protects_stays_closed():
    one = objects_of(HERE / "guarded" / "input.yaml", "istio")[1]
    assert one["spec"]["http"][0]["directResponse"] == {"status": 503} and "route" not in one["spec"]["http"][0]
    one = objects_of(HERE / "guarded" / "input.yaml", "gateway-api")[1]
    assert "backendRefs" not in one["spec"]["rules"][0]


@pytest.mark.parametrize("name, value", [
    ("allowlist-source-range", "10.0.0.0/8"), ("whitelist-source-range", "10.0.0.0/8"), ("denylist-source-range", "10.0.0.0/8"), ("auth-url", "https://auth.example/x"),
    ("auth-type", "basic"), ("auth-secret", "s"), ("auth-tls-secret", "default/s"), ("auth-tls-match-cn", "x"), ("limit-rps", "5"), ("limit-rpm", "5"), ("limit-connections", "5"),
    ("enable-modsecurity", "true"), ("enable-owasp-core-rules", "true"), ("proxy-ssl-verify", "on"), ("proxy-ssl-secret", "default/s"), ("ssl-passthrough", "true")])
def test_whatever_protects_is_closed_whether_it_is_done_here_or_not(name, value):
    text = as_stream([ingress("i", path("/"), annotations={name: value})])
    routes = [o for o in objects_of("-", "istio", stdin=text) if o["kind"] == "VirtualService"]
    assert [r["directResponse"]["status"] for o in routes for r in o["spec"]["http"] if "redirect" not in r] == [503] and "destination" not in str(routes)
    done = convert("-", "gateway-api", stdin=text)
    assert "backendRefs" not in done.stdout and "it is closed" in done.stderr or "not with 503" in done.stderr


def test_fields_of_a_config_map_are_lost_and_told():
    text = as_stream([ingress("i", path("/"), annotations={"custom-headers": "default/fields"})])
    for api in ("istio", "gateway-api"):
        said = [line for line in convert("-", api, stdin=text).stderr.splitlines() if "custom-headers" in line]
        assert len(said) == 1 and "it is not said in what is put out" in said[0]


def test_json_and_what_is_wrong():
    text = as_stream([ingress("i", path("/"))])
    assert json.loads(convert("-", "istio", "-o", "json", stdin=text).stdout)["kind"] == "List"
    for flags, stdin, code, words in (((), "", 1, "there is no Ingress to convert"), (("--output-api", "x"), text, 64, '--output-api: "x" is not known'),
                                      (("--compat", "1.7"), text, 64, '--compat: "1.7" is not known'), (("-o", "wide"), text, 64, '-o: "wide" is not known'),
                                      (("--compat", "1.8", "--output-api", "gateway-api"), text, 64, "--compat is about Istio's API")):
        done = fairlead("convert-ingress", "-f", "-", *flags, stdin=stdin)
        assert done.returncode == code and words in done.stderr
