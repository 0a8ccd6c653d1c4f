"""fairlead-echo --as MODE: the original's port, paths and typical answers. Needs no root."""
import contextlib
import http.client
import json
import os
import socket
import subprocess

import pytest

from suite import ECHO, SLOW, free_ports


def environment(**more):
    return dict({k: v for k, v in os.environ.items() if not k.startswith("ECHO_")}, ECHO_NAME="me", **more)


@contextlib.contextmanager
def mode(name, *argv, **env):
    """Yields once it serves; a port among argv is the caller's to give."""
    process = subprocess.Popen([ECHO, "--as", name, *argv], env=environment(**env), stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "msg=serving" in line, line + process.stderr.read()
        yield process
    finally:
        process.kill()
        _, rest = process.communicate()
        assert "Sanitizer" not in rest and "runtime error" not in rest, rest


def ask(port, path, method="GET", body=None, **headers):
    """(status, body, headers)"""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=5 * SLOW)
    conn.request(method, path, body, headers)
    r = conn.getresponse()
    return r.status, r.read().decode("utf-8", "replace"), dict(r.getheaders())


def said(port, path, **kw):
    status, body, _ = ask(port, path, **kw)
    assert status == 200, (status, body)
    return json.loads(body)


def test_podinfo():
    port, = free_ports(1)
    with mode("podinfo", "--standing-in-for=ghcr.io/stefanprodan/podinfo:6.5.1", f"--port={port}", "--level=info", PODINFO_UI_MESSAGE="hello"):
        info = said(port, "/")
        assert (info["hostname"], info["version"], info["message"]) == ("me", "6.5.1", "hello") and said(port, "/api/info") == info
        assert said(port, "/healthz") == said(port, "/readyz") == {"status": "OK"}
        assert said(port, "/version")["version"] == "6.5.1"
        assert "ECHO_NAME=me" in said(port, "/env")
        assert said(port, "/headers", **{"X-A": "1"})["X-A"] == ["1"]
        assert ask(port, "/echo", "POST", "words")[:2] == (202, "words")
        assert ask(port, "/status/418")[0] == 418 and said(port, "/delay/0") == {"delay": 0}
        assert ask(port, "/nothing")[0] == 404
    with mode("podinfo", PODINFO_PORT=str(port)):
        assert said(port, "/version")["version"][0].isdigit()


def test_whoami():
    port, = free_ports(1)
    with mode("whoami", "--port", str(port), WHOAMI_NAME="tester"):
        lines = ask(port, "/any/path?a=b", Accept="x/y")[1].split("\n")
        assert lines[:2] == ["Name: tester", "Hostname: me"] and "IP: 127.0.0.1" in lines
        assert any(line.startswith("RemoteAddr: 127.0.0.1:") for line in lines)
        assert "GET /any/path?a=b HTTP/1.1" in lines and "Accept: x/y" in lines
        api = said(port, "/api")
        assert (api["hostname"], api["name"], api["method"]) == ("me", "tester", "GET") and "127.0.0.1" in api["ip"]
        assert ask(port, "/health")[0] == 200 and ask(port, "/bench")[1] == "1"


def test_kuard():
    port, = free_ports(1)
    with mode("kuard", f"--address=:{port}"):
        assert ask(port, "/healthy")[1] == ask(port, "/ready")[1] == "ok"
        assert "KUAR Demo" in ask(port, "/")[1] and said(port, "/env/api")["env"]["ECHO_NAME"] == "me"


def test_echo_servers():
    port, = free_ports(1)
    with mode("echo-server", PORT=str(port)):
        told = said(port, "/some/path?q=1", **{"X-A": "1"})
        assert told["host"]["hostname"] == "me" and told["http"] == {"method": "GET", "baseUrl": "", "originalUrl": "/some/path", "protocol": "http"}
        assert told["request"]["query"] == {"q": "1"} and told["request"]["headers"]["X-A"] == "1" and told["environment"]["ECHO_NAME"] == "me"
        assert said(port, "/", method="POST", body='{"a": 1}')["request"]["body"] == {"a": 1}
        assert ask(port, "/?echo_code=404")[0] == 404 and ask(port, "/?echo_body=amazing")[1] == "amazing"
    with mode("jmalloc-echo-server", PORT=str(port)):
        text = ask(port, "/p", "POST", "the body")[1]
        assert text.startswith("Request served by me\n\nPOST /p HTTP/1.1\n\n") and text.endswith("\n\nthe body")


@pytest.mark.parametrize("name, one", [("httpbin", lambda v: v), ("go-httpbin", lambda v: [v])])
def test_httpbin(name, one):
    port, = free_ports(1)
    with mode(name, **({"ECHO_HTTP": str(port)} if name == "httpbin" else {"PORT": str(port)})):
        got = said(port, "/get?a=1&b=x%20y", **{"X-A": "1"})
        assert got["args"] == {"a": one("1"), "b": one("x y")} and got["headers"]["X-A"] == one("1")
        assert got["origin"] == "127.0.0.1" and got["url"] == f"http://127.0.0.1:{port}/get?a=1&b=x%20y"
        posted = said(port, "/post", method="POST", body='{"k": [1]}')
        assert posted["json"] == {"k": [1]} and posted["data"] == '{"k": [1]}' and posted["form"] == {}
        form = said(port, "/anything/else", method="PUT", body="c=2", **{"Content-Type": "application/x-www-form-urlencoded"})
        assert form["form"] == {"c": one("2")} and form["method"] == "PUT" and form["json"] is None
        assert said(port, "/headers", **{"X-A": "1"})["headers"]["X-A"] == one("1")
        assert said(port, "/ip") == {"origin": "127.0.0.1"} and said(port, "/user-agent", **{"User-Agent": "u"}) == {"user-agent": "u"}
        assert len(said(port, "/uuid")["uuid"]) == 36
        assert ask(port, "/status/503")[0] == 503 and ask(port, "/status/x")[0] == 400
        assert said(port, "/delay/0")["method"] == "GET" and ask(port, "/delay/x")[0] == 400
        status, _, headers = ask(port, "/redirect/2")
        assert (status, headers["Location"]) == (302, "/redirect/1")
        assert ask(port, "/redirect/1")[2]["Location"] == "/get" and ask(port, "/nothing")[0] == 404


def udp(port, text):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5 * SLOW)
        s.connect(("127.0.0.1", port))
        s.send(text.encode())
        return s.recv(1000).decode()


def test_agnhost_netexec_and_serve_hostname():
    port, = free_ports(1)
    udp_port, = free_ports(1, socket.SOCK_DGRAM)
    with mode("agnhost", "--standing-in-for=x", "netexec", f"--http-port={port}", "--udp-port", str(udp_port)) as process:
        assert ask(port, "/hostname")[1] == ask(port, "/hostName")[1] == "me"
        assert ask(port, "/clientip")[1].startswith("127.0.0.1:") and ask(port, "/")[1].startswith("NOW: ")
        assert ask(port, "/echo?msg=hi%20there&code=202")[:2] == (202, "hi there") and ask(port, "/header?key=X-A", **{"X-A": "v"})[1] == "v"
        assert ask(port, "/healthz")[0] == 200 and ask(port, "/redirect?location=/x")[2]["Location"] == "/x"
        status, text, _ = ask(port, "/dial?host=x")
        assert status == 404 and "the lab's agnhost has no /dial" in text
        assert (udp(udp_port, "hostname"), udp(udp_port, "echo some words")) == ("me", "some words")
        assert ask(port, "/exit")[0] == 200
        assert process.wait(5 * SLOW) == 0
    with mode("agnhost", "serve-hostname", "--port", str(port)):
        assert ask(port, "/whatever")[1] == "me"
    with mode("agnhost", "serve-hostname", f"--port={udp_port}", "--udp"):
        assert udp(udp_port, "x") == "me"


def test_agnhost_connect_and_pause():
    def connect(*argv):
        done = subprocess.run([ECHO, "--as", "agnhost", "connect", *argv], capture_output=True, text=True, timeout=20 * SLOW, env=environment())
        return done.returncode, done.stderr.strip()

    with socket.create_server(("127.0.0.1", 0)) as s:
        assert connect(f"127.0.0.1:{s.getsockname()[1]}", "--timeout=2s") == (0, "")
    assert connect(f"127.0.0.1:{free_ports(1)[0]}") == (1, "REFUSED")
    assert connect("no-such-name.invalid:80") == (1, "DNS: no such host")
    assert connect("nothing")[0] == 1
    for argv in (["pause"], []):
        process = subprocess.Popen([ECHO, "--as", "agnhost", *argv], env=environment(), stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "Paused\n"
        process.terminate()
        assert process.wait(5 * SLOW) == 0
    done = subprocess.run([ECHO, "--as", "agnhost", "nettest"], capture_output=True, text=True, env=environment())
    assert done.returncode == 1 and "has netexec, serve-hostname, connect and pause, not nettest" in done.stderr
    done = subprocess.run([ECHO, "--as", "nginx"], capture_output=True, text=True, env=environment())
    assert done.returncode == 64 and '"nginx" is none of agnhost, podinfo, ' in done.stderr


def test_bookinfo_calls_one_another():
    ports = dict(zip(("productpage", "details", "ratings", "reviews"), free_ports(4)))
    where = {f"{n.upper()}_HOSTNAME": "localhost" for n in ports} | {f"{n.upper()}_SERVICE_PORT": str(p) for n, p in ports.items()}

    def part(name, service=None):
        return mode(name, ECHO_HTTP=str(ports[service or name]), **where)

    with contextlib.ExitStack() as stack:
        for name in ("productpage", "details"):
            stack.enter_context(part(name))
        page = ask(ports["productpage"], "/productpage")[1]
        assert "<title>Simple Bookstore App</title>" in page and "123-1234567890" in page and "product reviews are currently unavailable" in page
        assert ask(ports["productpage"], "/api/v1/products/0/reviews")[0] == 503
        with part("reviews-v1", "reviews"):
            first = said(ports["reviews"], "/reviews/0")
            assert [r["reviewer"] for r in first["reviews"]] == ["Reviewer1", "Reviewer2"] and "rating" not in first["reviews"][0]
        with part("reviews-v2", "reviews"):
            assert said(ports["reviews"], "/reviews/0")["reviews"][0]["rating"] == {"error": "Ratings service is currently unavailable"}
            stack.enter_context(part("ratings"))
            assert [r["rating"] for r in said(ports["reviews"], "/reviews/0")["reviews"]] == [{"stars": 5, "color": "black"}, {"stars": 4, "color": "black"}]
        stack.enter_context(part("reviews-v3", "reviews"))
        page = ask(ports["productpage"], "/productpage", **{"X-Request-Id": "r"})[1]
        assert page.count("glyphicon-star") == 9 and '<font color="red">' in page and "Reviews served by:" in page
        assert said(ports["productpage"], "/api/v1/products/0/ratings") == said(ports["ratings"], "/ratings/0") == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
        assert said(ports["productpage"], "/api/v1/products/0")["author"] == said(ports["details"], "/details/0")["author"] == "William Shakespeare"
        assert said(ports["productpage"], "/api/v1/products")[0]["title"] == "The Comedy of Errors"
        assert ask(ports["productpage"], "/health")[1] == "Product page is healthy"
        assert [said(ports[n], "/health")["status"] for n in ("details", "ratings", "reviews")] == [
            "Details is healthy", "Ratings is healthy", "Reviews is healthy"]
        assert ask(ports["details"], "/details/x")[0] == 400
