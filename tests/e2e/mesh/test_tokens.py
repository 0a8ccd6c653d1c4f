"""RequestAuthentications: whose tokens count, and what policies make of them."""
import base64
import json
import subprocess
import sys
import time

import lab_harness
import pytest
import tokens
from suite import ROOT, wait_until

ISSUER = "https://tokens.example/realm"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def authentication(keys, name="tokens", **rule):
    return {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": name, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "bob"}}, "jwtRules": [{"issuer": ISSUER, "jwks": keys, **rule}]}}


def policy(name="needed", **spec):
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": name, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "bob"}}, **spec}}


@pytest.fixture(scope="module")
def signers():
    return {alg: tokens.Signer(alg, f"key-{alg}") for alg in ALGORITHMS}


@pytest.fixture(scope="module")
def apps(mesh):
    for kind in ("authorizationpolicies", "requestauthentications"):
        mesh.lab.fairlead("apply", "-f", ROOT / f"deploy/crds/security.{kind}.yaml")
    mesh.run("alice", probe=False)
    mesh.run("bob", probe=False)
    wait_until("bob is served", lambda: ask(mesh)[0] == 200)
    return mesh


def ask(apps, *args, token=None, url="http://bob/"):
    if token:
        args = ("-H", f"authorization: Bearer {token}", *args)
    out = apps.lab.fairlead("exec", apps.pod("alice"), "-c", "echo", "--", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, url, check=False).stdout
    body, _, status = out.rpartition("\n")
    return int(status or 0), body


def payload(**more):
    return {"iss": ISSUER, "sub": "ann", "exp": int(time.time()) + 600, **more}


@pytest.fixture
def put(apps):
    yield apps.lab.apply
    for kind in ("authorizationpolicies", "requestauthentications"):
        for p in apps.lab.get(kind)["items"]:
            apps.lab.fairlead("delete", f"{kind}/{p['metadata']['name']}")
    wait_until("nothing is asked for", lambda: ask(apps, token="x.y.z")[0] == 200)


def in_force(apps):
    wait_until("tokens are verified", lambda: ask(apps, token="x.y.z")[0] == 401)


def test_each_algorithm(apps, put, signers):
    put(authentication(tokens.key_set(*signers.values())))
    in_force(apps)
    for alg, s in signers.items():
        assert ask(apps, token=s.token(payload()))[0] == 200, alg
    assert ask(apps)[0] == 200  # without one


def test_what_is_refused(apps, put, signers):
    s = signers["RS256"]
    put(authentication(tokens.key_set(s), audiences=["shop"]))
    in_force(apps)
    good = payload(aud=["shop", "x"])
    assert ask(apps, token=s.token(good))[0] == 200
    head, body, signature = s.token(good).split(".")
    for token, words in (
            (f"{head}.{body}.{signature[:-6]}AAAAAA", "Jwt verification fails"),
            (f"{head}.{tokens.b64({**good, 'sub': 'root'})}.{signature}", "Jwt verification fails"),
            (s.token({**good, "exp": 1}), "Jwt is expired"),
            (s.token({**good, "nbf": int(time.time()) + 600}), "Jwt not yet valid"),
            (s.token({**good, "iss": "https://else"}), "Jwt issuer is not configured"),
            (s.token(payload(aud="other")), "Audiences in Jwt are not allowed"),
            (s.token(payload()), "Audiences in Jwt are not allowed"),
            (s.token(good, kid="unknown"), "Jwks doesn't have key to match kid or alg from Jwt"),
            (f"{tokens.b64({'alg': 'none'})}.{body}.{signature}", "Jwt header [alg] is not supported"),
            (f"{tokens.b64({'alg': 'none'})}.{body}.", "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"),
            (f"{tokens.b64({'alg': 'HS256'})}.{body}.{signature}", "Jwt header [alg] is not supported"),
            (tokens.Signer("RS256", "key-RS256").token(good), "Jwt verification fails"),
            ("nonsense", "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")):
        assert ask(apps, token=token) == (401, words), words
    assert ask(apps, token=s.token({**good, "exp": int(time.time()) - 30}))[0] == 200  # clocks differ by a minute
    log = apps.lab.fairlead("logs", apps.pod("bob"), "-c", "sidecar")
    assert signature not in log and body not in log


def test_a_token_is_needed(apps, put, signers):
    s = signers["ES256"]
    put(authentication(tokens.key_set(s)), policy(rules=[{"from": [{"source": {"requestPrincipals": [f"{ISSUER}/ann"]}}]}]))
    wait_until("without one it is refused", lambda: ask(apps) == (403, "RBAC: access denied"))
    assert ask(apps, token=s.token(payload()))[0] == 200
    assert ask(apps, token=s.token(payload(sub="bert")))[0] == 403
    assert ask(apps, token=s.token(payload(sub="annex")))[0] == 403
    for field in (f"x-jwt-payload: {tokens.b64(payload())}", f"x-request-principal: {ISSUER}/ann", f"authorization: Basic {tokens.b64(b'ann:x')}"):
        assert ask(apps, "-H", field)[0] == 403, field
    put(policy(rules=[{"from": [{"source": {"requestPrincipals": ["*"]}}]}]))
    wait_until("anybody's will do", lambda: ask(apps, token=s.token(payload(sub="bert")))[0] == 200)
    assert ask(apps)[0] == 403


def test_claims(apps, put, signers):
    s = signers["EdDSA"]
    when = [{"key": "request.auth.claims[groups]", "values": ["admins"]}, {"key": "request.auth.claims[realm][level]", "values": ["h*"]},
            {"key": "request.auth.claims[scope]", "values": ["write"]}, {"key": "request.auth.audiences", "values": ["shop"]}, {"key": "request.auth.presenter", "values": ["app"]}]
    right = dict(groups=["users", "admins"], realm={"level": "high"}, scope="read write", aud="shop", azp="app")
    put(authentication(tokens.key_set(s)), policy(rules=[{"when": when}]))
    wait_until("without one it is refused", lambda: ask(apps)[0] == 403)
    assert ask(apps, token=s.token(payload(**right)))[0] == 200
    for name, value in (("groups", ["users"]), ("groups", "admin"), ("realm", {"level": "low"}), ("realm", "high"), ("scope", "read"), ("aud", ["shops"]), ("azp", "other")):
        assert ask(apps, token=s.token(payload(**{**right, name: value})))[0] == 403, (name, value)
    assert ask(apps, token=s.token(payload(**{**right, "groups": "admins"})))[0] == 200


def test_where_it_stands_and_what_is_told(apps, put, signers):
    s = signers["RS256"]
    put(authentication(tokens.key_set(s), fromHeaders=[{"name": "x-token", "prefix": "JWT "}], fromParams=["t"], fromCookies=["c"], outputPayloadToHeader="x-payload",
                       outputClaimToHeaders=[{"header": "x-level", "claim": "realm.level"}, {"header": "x-sub", "claim": "sub"}]))
    wait_until("tokens are verified", lambda: ask(apps, "-H", "x-token: JWT a.b.c")[0] == 401)
    good = s.token(payload(realm={"level": 7}))
    assert ask(apps, token="a.b.c")[0] == 200  # it stands where nobody looks
    assert ask(apps, url="http://bob/?t=a.b.c")[0] == ask(apps, "-H", "cookie: c=a.b.c")[0] == 401
    assert ask(apps, url=f"http://bob/?x=1&t={good}")[0] == ask(apps, "-H", f"cookie: b=1; c={good}")[0] == 200
    status, body = ask(apps, "-H", f"x-token: JWT {good}", "-H", "x-sub: root", "-H", "x-payload: lie")
    seen = {k.lower(): v for k, v in json.loads(body)["headers"].items()}
    assert status == 200 and "x-token" not in seen and seen["x-sub"] in ("ann", ["ann"]) and seen["x-level"] in ("7", ["7"])
    told = seen["x-payload"] if isinstance(seen["x-payload"], str) else seen["x-payload"][0]
    assert json.loads(base64.urlsafe_b64decode(told + "=="))["sub"] == "ann"
    seen = {k.lower(): v for k, v in json.loads(ask(apps, "-H", "x-sub: root")[1])["headers"].items()}
    assert "x-sub" not in seen  # nobody but the sidecar says so


def test_one_that_cannot_be_read_refuses_tokens(apps, put, signers):
    s = signers["RS256"]
    put({**authentication("{}"), "metadata": {"name": "bad", "namespace": "default"}})
    wait_until("no token is valid", lambda: ask(apps, token=s.token(payload()))[0] == 401)
    assert ask(apps)[0] == 200
    told = wait_until("it is told", lambda: [e for e in apps.lab.get("events")["items"] if e["reason"] == "AuthenticationInvalid"])
    assert "spec.jwtRules[0].jwks: is no key set" in told[0]["message"]


# ---- key sets that are fetched ----

ISSUER_SERVER = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8088), lambda *a: Handler(*a, directory=sys.argv[1])).serve_forever()
"""


@pytest.fixture
def issuer(apps, tmp_path):
    """A pod that serves what lies in a directory; its URL."""
    apps.lab.apply(lab_harness.echo("issuer"))
    pod = apps.lab.wait_ready("app=issuer", 1)[0]
    process = subprocess.Popen(["ip", "netns", "exec", apps.lab.netns(apps.lab.pod_netns(pod["metadata"]["name"])), sys.executable, "-c", ISSUER_SERVER, str(tmp_path)])
    (tmp_path / ".well-known").mkdir()
    yield tmp_path, f"http://{pod['status']['podIP']}:8088"
    process.terminate()
    process.wait()


def fetching(issuer_name=ISSUER, **rule):
    return {**authentication(None), "spec": {"selector": {"matchLabels": {"app": "bob"}}, "jwtRules": [{"issuer": issuer_name, **rule}]}}


def test_keys_by_a_url(apps, put, signers, issuer):
    directory, url = issuer
    s = signers["ES256"]
    put(fetching(jwksUri=f"{url}/keys"))
    in_force(apps)
    assert ask(apps, token=s.token(payload()))[0] == 401, "there are no keys yet"
    assert ask(apps)[0] == 200
    wait_until("an Event tells", lambda: [e for e in apps.lab.get("events")["items"] if e["reason"] == "KeysNotFetched"])
    (directory / "keys").write_text(tokens.key_set(s))
    wait_until("it is tried again", lambda: ask(apps, token=s.token(payload()))[0] == 200, timeout=30)
    assert ask(apps, token=signers["RS256"].token(payload()))[0] == 401
    (directory / "keys").unlink()
    assert ask(apps, token=s.token(payload()))[0] == 200


def test_keys_by_the_issuers_configuration(apps, put, signers, issuer):
    directory, url = issuer
    s = signers["EdDSA"]
    (directory / "keys").write_text(tokens.key_set(s))
    (directory / ".well-known/openid-configuration").write_text(json.dumps({"issuer": url, "jwks_uri": f"{url}/keys"}))
    put(fetching(url))
    wait_until("its tokens count", lambda: ask(apps, token=s.token(payload(iss=url)))[0] == 200 and ask(apps, token="x.y.z")[0] == 401)


def test_nobody_is_asked_at_loopback(apps, put, signers):
    put(fetching(jwksUri="http://127.0.0.1:15014/metrics"))
    wait_until("an Event tells", lambda: [e for e in apps.lab.get("events")["items"] if e["reason"] == "KeysNotFetched" and "not asked" in e["message"]])
    assert ask(apps, token=signers["ES256"].token(payload()))[0] == 401
