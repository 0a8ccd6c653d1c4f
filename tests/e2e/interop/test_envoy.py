"""Stock Envoy as the gateway: what it is given it takes whole, and it answers as our proxy does."""
import http.client
import json
import re
import secrets
import subprocess

import corpus
import pytest
from suite import SLOW, wait_until

# Of an answer; all others are about the connection, or of the moment.
FIELDS = ("location", "set-cookie", "vary", "allow", "content-type", "x-from", "x-frame-options", "x-client", "x-hidden", "strict-transport-security")
# Of what the backend is sent: of the moment.
MOMENT = ("x-request-id", "x-envoy-attempt-count")


def subject(certificate):
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=certificate, capture_output=True).stdout.decode()
    return text.strip().rsplit("= ", 1)[-1]


def seen(answer):
    """What is compared of an answer."""
    if answer is None:
        return {"status": None}
    fields = {k: v for k, v in answer.fields.items() if k in FIELDS or k.startswith("access-control-")}
    if "set-cookie" in fields:
        name, *attributes = fields["set-cookie"].split("; ")
        fields["set-cookie"] = [re.sub("=.*", "", name), *sorted(attributes)]
    told = answer.echo
    sent = {k.lower(): v for k, v in (told["headers"].items() if isinstance(told.get("headers"), dict) else told.get("headers", ()))}
    for name in MOMENT:
        if name in sent:
            sent[name] = "*"
    return {"status": answer.status, "app": answer.app, "fields": fields, "method": told.get("method"), "path": told.get("path"), "host": told.get("host"),
            "proto": told.get("proto"), "sent": sent, "subject": answer.certificate and subject(answer.certificate)}


def wrong(request, answer, of_envoy):
    """What is not as it must be; "": nothing."""
    got, want = seen(answer), {k: getattr(request, k) for k in ("status", "app", "subject")} | (request.envoy if of_envoy else {})
    return "; ".join(f"{what} {got.get(what)} for {value}" for what, value in want.items() if value not in (None, corpus.ANY) and what in got and got[what] != value)


def differences(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted(a.keys() | b.keys()) for d in differences(a.get(k), b.get(k), f"{at}.{k}")]
    return [] if a == b else [(at[1:], a, b)]


def foretold(request, at, a, b):
    """The corpus says that it differs so."""
    return request.envoy.get(at, a) in (b, corpus.ANY) or request.envoy.get(at.split(".")[0]) is corpus.ANY


def right(plane, request):
    """The answer, when it is as it must be."""
    last, of_envoy = [], "envoy" in plane.directory.name

    def look():
        last[:] = [request.ask(plane)]
        return not wrong(request, last[0], of_envoy)
    try:
        wait_until(f"{request}", look)
    except pytest.fail.Exception:
        pytest.fail(f"{plane.directory.name}: {request}: {wrong(request, last[0], of_envoy)}", pytrace=False)
    return last[0]


def test_nothing_is_refused(envoy):
    assert not envoy.refusals()
    assert not [t for stream in envoy.syncz() for t in stream.values() if isinstance(t, dict) and t["refused"]], envoy.syncz()


@pytest.mark.parametrize("chapter", corpus.CHAPTERS)
def test_answers(ours, envoy, chapter):
    found = []
    for request in (r for case in corpus.CHAPTERS[chapter] for r in case.requests):
        different = differences(seen(right(ours, request)), seen(right(envoy, request)))
        found += [f"{request}: {at}: ours {a!r}, Envoy's {b!r}" for at, a, b in different if not foretold(request, at, a, b)]
        found += [f"{request}: {at} does not differ any more" for at, value in request.envoy.items() if value is not corpus.ANY and at not in {d[0] for d in different}]
    assert not found, "\n".join(found)


def test_shares(ours, envoy):
    """Weights, and cookies that keep their pod."""
    for plane in (ours, envoy):
        got = [plane.ask("/", "share.example").app for _ in range(300)]
        assert set(got) == {"web", "other"} and 50 <= got.count("other") <= 130, (plane.directory.name, got.count("other"))  # 90, sigma 8: five of them
        for host in ("sticky.example", "persistent.example"):
            first = plane.ask("/", host)
            cookie = first.fields["set-cookie"].split(";")[0]
            assert {plane.ask("/", host, headers={"Cookie": cookie}).echo["name"] for _ in range(12)} == {first.echo["name"]}, (plane.directory.name, host)
        assert len({plane.ask("/a?id=1", "hash.example").echo["name"] for _ in range(12)}) == 1, plane.directory.name


def test_browsers_that_take_none_for_strict(ours, envoy):
    for plane in (ours, envoy):
        told = ["SameSite=None" in plane.ask("/", "persistent.example", headers={"User-Agent": agent}).fields["set-cookie"] for agent in corpus.BROWSERS]
        assert told == [False] * 4 + [True] * 2, plane.directory.name


def test_words_that_envoy_does_not_know(lab, ours, envoy):
    """Further tries of what may be sent twice: Envoy passes over words that begin with "fairlead-", and tries less often."""
    mark = secrets.token_hex(4)
    asked = {}
    for plane in (ours, envoy):
        word = f"{mark}-{plane.directory.name}"
        asked[plane] = [plane.ask(f"/cut-once/{word}", "tries-safe.example").status, plane.ask(f"/status/503?{word}", "tries-safe.example").status]
        told = json.loads(plane.ask("/_asked", "tries-safe.example").body)
        asked[plane].append(sum(t["path"] == f"/status/503?{word}" for t in told))
    assert asked == {ours: [200, 503, 3], envoy: [502, 503, 1]}


def test_a_port_of_a_service(ours, envoy):
    def ask(plane):
        conn = http.client.HTTPConnection(plane.address, corpus.TCP_PORT, timeout=5 * SLOW)
        conn.request("GET", "/x", headers={"Host": "t.example"})
        return conn.getresponse().status
    assert ask(ours) == ask(envoy) == 200


def test_a_change_arrives(lab, ours, envoy):
    """A route moves to another Service and back: neither loses a request."""
    for app in ("other", "web"):
        lab.apply(corpus.Case("odd", corpus.web("odd.example", app=app), {}).object())
        for plane in (ours, envoy):
            wait_until("it has moved", lambda: plane.ask("/", "odd.example").app == app)  # noqa: B023
    assert not envoy.refusals()


def test_an_expression_that_is_too_long_for_envoy(lab, ours, envoy):
    """It refuses the whole table and goes on with the one before, until there is one that it takes."""
    path = "/(" + "|".join(letter * 5 + "-is-a-word" for letter in "abcdefgh") + ")"
    lab.apply(corpus.Case("too-long", corpus.web("too-long.example", path, "ImplementationSpecific"), {"use-regex": "true"}).object())
    right(ours, corpus.ask("too-long.example", "/ccccc-is-a-word", "web"))
    wait_until("Envoy refuses it", envoy.refusals)
    assert all("RE2 program size" in text for text in envoy.refusals())
    assert envoy.ask("/ccccc-is-a-word", "too-long.example").status == 404
    right(envoy, corpus.CASES[-1].requests[-1])
    lab.fairlead("delete", "ingresses/too-long")
    lab.apply(corpus.Case("shorter", corpus.web("shorter.example")).object())
    right(envoy, corpus.ask("shorter.example", "/", "web"))
    lab.fairlead("delete", "ingresses/shorter")
