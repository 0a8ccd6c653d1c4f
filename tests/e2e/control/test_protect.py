"""Annotations of ingress-nginx that protect: who is let through, and what those who are not are told."""
import json
import socket

from gateway import rule
from suite import SLOW, wait_until


def paths(*names):
    return [rule("p.example", *[("/" + n, "Prefix", "web") for n in names])]


def client_address(answer):
    return dict(answer.echo["headers"])["x-forwarded-for"]


def test_source_ranges(gateway, ingress, events):
    """The client's address is the one of the connection: what it says itself is not believed."""
    ingress("open", paths("open"))
    gateway.becomes("it is open", lambda a: a.app == "web", "/open", "p.example")
    here = sorted({client_address(gateway.ask("/open", "p.example")) for _ in range(24)})  # as gateways see it
    ingress("mine", paths("mine"), {"whitelist-source-range": ", ".join(["192.0.2.0/24", *here])})
    ingress("others", paths("others"), {"allowlist-source-range": "192.0.2.0/24"})
    ingress("denied", paths("denied"), {"denylist-source-range": ",".join(f"{a}/32" for a in here)})
    ingress("odd", paths("odd"), {"whitelist-source-range": "10.0.0.0/8;"})
    assert gateway.becomes("its own range is let in", lambda a: a.app == "web", "/mine", "p.example")
    spoof = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7"}
    assert gateway.becomes("others are not", lambda a: a.status == 403, "/others", "p.example", headers=spoof)
    assert gateway.becomes("what is denied is not", lambda a: a.status == 403, "/denied", "p.example")
    assert gateway.becomes("what is no range closes", lambda a: a.status == 503, "/odd", "p.example")
    wait_until("it is told", lambda: "503" in (events("odd", "AnnotationInvalid") or [""])[0])
    ingress("others", paths("others"), {"allowlist-source-range": "0.0.0.0/0"})
    assert gateway.becomes("a change counts", lambda a: a.app == "web", "/others", "p.example")


def test_body_sizes(gateway, ingress):
    ingress("usual", paths("usual"))
    ingress("small", paths("small"), {"proxy-body-size": "1k"})
    ingress("any", paths("any"), {"proxy-body-size": "0"})
    send = lambda path, n, **h: gateway.ask(path, "p.example", "POST", body=b"x" * n, headers=h)  # noqa: E731
    assert gateway.becomes("1k is taken", lambda a: a.app == "web", "/small", "p.example", "POST", body=b"x" * 1024)
    assert gateway.becomes("more is not", lambda a: a.status == 413, "/small", "p.example", "POST", body=b"x" * 1025)
    assert gateway.becomes("1m is taken", lambda a: a.app == "web", "/usual", "p.example", "POST", body=b"x" * (1 << 20))
    assert send("/usual", (1 << 20) + 1).status == 413
    assert gateway.becomes("anything is", lambda a: a.app == "web", "/any", "p.example", "POST", body=b"x" * (3 << 20))
    with socket.create_connection((gateway.address, 80), 5 * SLOW) as s:  # of unknown length
        s.sendall(b"POST /small HTTP/1.1\r\nHost: p.example\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n")
        s.sendall(b"1\r\nx\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_explain_names_what_protects(lab, gateway, ingress):
    ingress("told", paths("told"), {"whitelist-source-range": "192.0.2.0/24"})
    gateway.becomes("it is closed to us", lambda a: a.status == 403, "/told", "p.example")
    text = lab.fairlead("explain", "GET", "http://p.example/told")
    assert "from 192.0.2.0/24 alone (else 403)" in text and "bodies up to 1048576 bytes (else 413)" in text
    assert json.loads(lab.fairlead("explain", "GET", "http://p.example/told", "-o", "json"))
