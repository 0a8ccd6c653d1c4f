"""fairlead migrate ingress-nginx: golden reports (GOLDEN_UPDATE=1 writes them; read the diff), the state of every annotation, what is said of snippets."""
import json
import os
import pathlib
import re

import pytest

from manifests import NGINX, as_stream, fairlead, ingress, path
from suite import ROOT

HERE = pathlib.Path(__file__).parent / "migrate"
SNIPPET = f"metadata.annotations[{NGINX}configuration-snippet]"
STATES = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (\w+)", (ROOT / "docs/ingress-nginx.md").read_text().split("<!-- table -->")[1].split("<!-- end -->")[0], re.M))


def migrate(objects, *flags):
    done = fairlead("migrate", "ingress-nginx", "-f", "-", "-o", "json", *flags, stdin=as_stream(objects))
    assert done.returncode in (0, 2), done.stderr
    return json.loads(done.stdout)


def notes(objects):
    return migrate(objects)["ingresses"][0]["notes"]


def actions(snippet):
    """(message, action) of each directive."""
    return [(n["message"].split(", ", 1)[-1], n.get("action", "")) for n in notes([ingress("i", path("/"), annotations={"configuration-snippet": snippet})]) if n["field"] == SNIPPET][1:]


@pytest.mark.parametrize("case", sorted(p.name for p in HERE.iterdir()))
def test_golden(case):
    done = fairlead("migrate", "ingress-nginx", "-f", HERE / case / "input.yaml")
    text = done.stdout.replace(str(HERE / case) + "/", "").replace(" (not done yet)", "")
    file = HERE / case / "report.txt"
    if os.environ.get("GOLDEN_UPDATE"):
        file.write_text(text)
    assert text == file.read_text() and done.returncode == 2 and done.stderr == ""


@pytest.mark.parametrize("name", STATES)
def test_every_annotation_has_the_verdict_of_its_state(name):
    said = [n for n in notes([ingress("i", path("/"), annotations={name: "true"})]) if n["field"] == f"metadata.annotations[{NGINX}{name}]"]
    assert said
    if STATES[name] == "works":
        assert "not done yet" not in said[0]["message"]
    elif STATES[name] == "taken":
        assert said[0]["verdict"] == "works" and said[0]["message"].startswith("nothing to do: ")
    else:
        assert said[0]["verdict"] == "change" and ("not done yet" in said[0]["message"] or STATES[name] == "refused")


def test_counts_and_exit_codes():
    good, unknown = ingress("good", path("/")), ingress("unknown", path("/x"), annotations={"nope": "1"})
    report = migrate([good, unknown, ingress("theirs", class_="traefik"), ingress("bad", path("/y"), annotations={"server-snippet": "gzip on;"})])
    assert report["summary"] == {"ingresses": 3, "works": 2, "differs": 0, "change": 1, "ofOtherClasses": 1}
    assert [i["object"] for i in report["ingresses"]] == ["default/bad", "default/good", "default/unknown"]
    assert fairlead("migrate", "ingress-nginx", "-f", "-", stdin=as_stream([good, unknown])).returncode == 0
    for argv in ((), ("traefik",), ("ingress-nginx", "x")):
        done = fairlead("migrate", *argv)
        assert done.returncode == 64 and "name what to move from: ingress-nginx" in done.stderr
    assert migrate([dict(good, metadata=dict(good["metadata"], annotations={"kubernetes.io/ingress.class": "mine"}), spec={"rules": good["spec"]["rules"]})],
                   "--ingress-class", "mine")["summary"]["ingresses"] == 1


@pytest.mark.parametrize("snippet, said, annotation", [
    ('more_set_headers "X-A: b";', "an annotation says it", 'custom-headers: "NAMESPACE/NAME"'),
    ("add_header X-A b always;", "an annotation says it", "custom-headers"),
    ("add_header X-A $host;", "nothing says it", None),
    ('add_header "Access-Control-Allow-Origin" *;', "an annotation says it", 'enable-cors: "true"'),
    ("proxy_set_header Host a.example;", "an annotation says it", 'upstream-vhost: "a.example"'),
    ("proxy_set_header Host $host;", "it is so anyway", None),
    ("proxy_set_header X-Any 1;", "nothing says it", None),
    ("return 301 https://b.example/x;", "an annotation says it", 'permanent-redirect: "https://b.example/x"'),
    ("return 307 https://b.example/x;", "an annotation says it", 'temporal-redirect: "https://b.example/x"; and temporal-redirect-code "307"'),
    ("return https://b.example/x;", "an annotation says it", 'temporal-redirect: "https://b.example/x"'),
    ("return 301 https://$host$request_uri;", "an annotation says it", 'force-ssl-redirect: "true"'),
    ("return 301 https://b.example$request_uri;", "nothing says it", None),
    ("return 403;", "nothing says it", None),
    ("rewrite ^/a/(.*) /b/$1 last;", "an annotation says it", 'rewrite-target: "/b/$1"'),
    ("rewrite ^/a https://b.example/ redirect;", "an annotation says it", 'temporal-redirect: "https://b.example/"'),
    ("deny 10.0.0.1; deny 10.0.0.2;", "an annotation says it", 'denylist-source-range: "10.0.0.1,10.0.0.2"'),
    ("allow 10.0.0.0/8; deny all;", "an annotation says it", 'allowlist-source-range: "10.0.0.0/8"'),
    ("allow 10.0.0.0/8;", "it is so anyway", None),
    ("deny all; allow 10.0.0.0/8;", "nothing says it", None),
    ("deny 10.0.0.1; deny all;", "nothing says it", None),
    ("deny 10.0.0.1; allow 10.0.0.0/8; deny all;", "nothing says it", None),
    ("if ($http_x = y) { set $a b; }", "an annotation says it", "canary-by-header"),
    ("if ($http_x = y) { return 403; }", "nothing says it", None),
    ("if ($request_method = OPTIONS) { return 204; }", "an annotation says it", "enable-cors"),
    ("proxy_read_timeout 30;", "an annotation says it", 'proxy-read-timeout: "30"'),
    ("frobnicate;", "nothing says it", None),
])
def test_what_stands_for_a_directive(snippet, said, annotation):
    message, action = actions(snippet)[0]
    assert message.endswith(": " + said)
    assert (action.startswith(NGINX + annotation) if annotation else NGINX not in action), action


def test_a_condition_is_told_as_one():
    """What stands in it holds under the condition alone: an annotation for it would let in, or send away, everybody else."""
    said = actions("if ($remote_user = x) { return 301 https://b.example/; deny 10.0.0.1; } gzip on;")
    assert [m.split(" ")[0] for m, _ in said] == ["if", "gzip"]


@pytest.mark.parametrize("snippet, words", [("a {", "a block does not end"), ("a", "a directive does not end with ;"), ("}", "a } without its {"), ("a 'b;", "a quote does not end"),
                                            ("{ a; }", "a block has no name"), ("a { " * 20, "blocks in more than 16 blocks"), ("a;" * 1001, "more than 1000 directives"),
                                            ("x_by_lua_block {", "a block of Lua does not end"), ("a;" + " " * 70000, "larger than 64 KiB")])
def test_text_that_cannot_be_read(snippet, words):
    said = notes([ingress("i", path("/"), annotations={"configuration-snippet": snippet})])
    assert any(f"the rest cannot be read: line {line}: {words}" in n["message"] for n in said for line in (1,)), said[-1]
