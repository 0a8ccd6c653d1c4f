"""Stock Envoy as the gateway: what it is given it takes whole, and it answers as our proxy does."""
import http.client
import re
import subprocess

import corpus
import pytest
from suite import SLOW, wait_until

# Of an answer; all others are about the connection, or of the moment.
FIELDS = ("location", "set-cookie", "server", "vary", "allow", "content-type", "x-from", "x-frame-options", "x-client", "x-hidden", "strict-transport-security")
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


def wrong(request, answer):
    """What is not as it must be; "": nothing."""
    got = seen(answer)
    return "; ".join(f"{what} {got.get(what)} for {want}" for what, want in (("status", request.status), ("app", request.app), ("subject", request.subject))
                     if want is not None and got.get(what) != want)


def differences(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted(a.keys() | b.keys()) for d in differences(a.get(k), b.get(k), f"{at}.{k}")]
    return [] if a == b else [f"{at[1:]}: ours {a!r}, Envoy's {b!r}"]


def right(plane, request):
    """The answer, when it is as it must be."""
    last = []

    def look():
        last[:] = [request.ask(plane)]
        return not wrong(request, last[0])
    try:
        wait_until(f"{request}", look)
    except pytest.fail.Exception:
        pytest.fail(f"{plane.directory.name}: {request}: {wrong(request, last[0])}", pytrace=False)
    return last[0]


def test_nothing_is_refused(envoy):
    assert not envoy.refusals()
    assert not [t for stream in envoy.syncz() for t in stream.values() if isinstance(t, dict) and t["refused"]], envoy.syncz()


@pytest.mark.parametrize("chapter", corpus.CHAPTERS)
def test_answers(ours, envoy, chapter):
    found = [f"{request}: {d}" for case in corpus.CHAPTERS[chapter] for request in case.requests
             for d in differences(seen(right(ours, request)), seen(right(envoy, request)))]
    assert not found, "\n".join(found)
