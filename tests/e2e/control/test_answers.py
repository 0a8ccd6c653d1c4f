"""What becomes of answers: cookies and redirects in the client's terms, their rate, what no log tells; answers of auth servers that are remembered; an auth
server of all Ingresses."""
import json
import socket

import pytest
import recording_backend as recorder
from gateway import rule
from suite import SLOW, wait_until
from test_settings import SYSTEM, told

HOST = "answers.example"


@pytest.fixture(scope="module")
def moves(lab, gateway):
    lab.apply(*recorder.objects("moves", {"location": "http://old.example:8080/a?b", "set-cookie": "s=1; Domain=.old.example; Path=/app/x", "refresh": "5; url=http://old.example:8080/r"}))
    lab.wait_ready("app=moves", 1)


@pytest.fixture(scope="module")
def judge(lab, gateway):
    """An auth server that remembers what it was asked; /status/N answers N."""
    lab.apply(*recorder.objects("judge", {"x-user": "bob"}))
    lab.wait_ready("app=judge", 1)


def test_in_the_clients_terms(gateway, ingress, events, moves):
    ingress("plain", [rule(HOST, ("/plain", "Prefix", "moves"))])
    rewrites = {"proxy-cookie-domain": "old.example new.example", "proxy-cookie-path": "/app/ /",
                "proxy-redirect-from": "http://old.example:8080/", "proxy-redirect-to": "https://new.example/n/"}
    ingress("seen", [rule(HOST, ("/seen", "Prefix", "moves"))], rewrites)
    ingress("kept", [rule(HOST, ("/kept", "Prefix", "web"))], {**rewrites, "affinity": "cookie", "session-cookie-path": "/app/"})
    ingress("own", [rule(HOST, ("/own", "Prefix", "moves"))], {"permanent-redirect": "/there", "relative-redirects": "true"})
    ingress("odd", [rule(HOST, ("/odd", "Prefix", "moves"))], {"proxy-cookie-path": "~^/(.*)$ /$1"})
    got = gateway.becomes("it is rewritten", lambda a: a.fields.get("location") == "https://new.example/n/a?b", "/seen", HOST).fields
    assert (got["refresh"], got["set-cookie"]) == ("5; url=https://new.example/n/r", "s=1; Domain=new.example; Path=/x")
    assert "Path=/app/" in gateway.becomes("our own cookie stays", lambda a: "set-cookie" in a.fields, "/kept", HOST).fields["set-cookie"]
    plain = gateway.becomes("another is not", lambda a: "location" in a.fields, "/plain", HOST).fields
    assert (plain["location"], plain["set-cookie"]) == ("http://old.example:8080/a?b", "s=1; Domain=.old.example; Path=/app/x")
    assert gateway.becomes("our own names no host", lambda a: a.status == 301, "/own", HOST).fields["location"] == "/there"
    assert gateway.becomes("an expression is not taken", lambda a: a.status == 200, "/odd", HOST).fields["set-cookie"].endswith("Path=/app/x")
    wait_until("it is told", lambda: events("odd", "AnnotationInvalid"))


def test_a_rate(gateway, ingress):
    """An echo of a long field, at a kilobyte a second, is not there at once; without a limit it is."""
    ingress("slow", [rule(HOST, ("/slow", "Prefix", "web"))], {"limit-rate": "1"})
    ingress("fast", [rule(HOST, ("/fast", "Prefix", "web"))])
    gateway.becomes("it is served", lambda a: a.status == 200, "/slow", HOST)
    gateway.becomes("it is served", lambda a: a.status == 200, "/fast", HOST)
    got = {}
    for path in ("/slow", "/fast", "/fast"):
        with socket.create_connection((gateway.address, 80), 20 * SLOW) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nX-Long: {'x' * 30000}\r\n\r\n".encode())
            got[path] = b""
            while (path == "/fast" or len(got[path]) < 1000) and (data := s.recv(65536)):
                got[path] += data
    assert len(got["/fast"]) > 30000 and 1000 <= len(got["/slow"]) < 20000


def test_what_no_log_tells(lab, gateway, ingress):
    ingress("loud", [rule(HOST, ("/loud", "Prefix", "web"))])
    ingress("quiet", [rule(HOST, ("/quiet", "Prefix", "web"))], {"enable-access-log": "false"})
    for path in ("/quiet/1", "/loud/1"):
        gateway.becomes("it is served", lambda a: a.app == "web", path, HOST)
    gateway.all_do("every gateway has it", lambda a: a.app == "web", "/quiet/2", HOST)
    gateway.all_do("and tells of others", lambda a: a.app == "web", "/loud/2", HOST)
    pods = [p["metadata"]["name"] for p in lab.get("pods", "-n", SYSTEM)["items"] if p["metadata"]["name"].startswith("fairlead-gateway")]
    logs = wait_until("the lines are there", lambda: (text := "".join(lab.fairlead("logs", "-n", SYSTEM, p) for p in pods)).count("/loud/2") >= 24 and text)
    assert "/quiet/2" not in logs


def asked(gateway, path):
    return [q for q in json.loads(gateway.becomes("it tells", lambda a: a.status == 200, "/_asked", "judge.example").body) if q["path"] == path]


def test_an_answer_is_remembered(gateway, ingress, judge):
    """By each gateway, for whoever has the same key."""
    url = "http://judge.default.svc.cluster.local"
    ingress("judge", [rule("judge.example", ("/", "Prefix", "judge"))])
    ingress("yes", [rule(HOST, ("/yes", "Prefix", "web"))], {"auth-url": f"{url}/status/200?yes", "auth-cache-key": "$http_authorization", "auth-response-headers": "X-User"})
    ingress("no", [rule(HOST, ("/no", "Prefix", "web"))], {"auth-url": f"{url}/status/401?no", "auth-cache-key": "$http_authorization", "auth-cache-duration": "401 10m"})
    ingress("each", [rule(HOST, ("/each", "Prefix", "web"))], {"auth-url": f"{url}/status/200?each"})
    for path, status in (("/yes", 200), ("/no", 401), ("/each", 200)):
        gateway.becomes("it is served", lambda a: a.status == status, path, HOST, headers={"Authorization": "first"})
    for n in range(24):
        answer = gateway.ask(f"/yes/{n}", HOST, headers={"Authorization": "a"})
        assert {k.lower(): v for k, v in answer.echo["headers"].items()}["x-user"] == "bob"
        assert gateway.ask("/no", HOST, headers={"Authorization": "a"}).status == 401
        assert gateway.ask("/each", HOST, headers={"Authorization": "a"}).status == 200
    by = {name: [dict(map(tuple, q["headers"])).get("authorization") for q in asked(gateway, path)].count("a")
          for name, path in (("yes", "/status/200?yes"), ("no", "/status/401?no"), ("each", "/status/200?each"))}
    assert by["each"] == 24 and 1 <= by["yes"] <= 12 and 1 <= by["no"] <= 12  # two gateways, a worker for each core


def test_an_auth_server_of_all(gateway, ingress, settings, judge):
    ingress("all", [rule(HOST, ("/all", "Prefix", "web"), ("/.well-known/acme-challenge/t", "Exact", "web"))])
    ingress("own", [rule(HOST, ("/own", "Prefix", "web"))], {"auth-url": "http://judge.default.svc.cluster.local/status/200"})
    ingress("free", [rule(HOST, ("/free", "Prefix", "web"))], {"enable-global-auth": "false"})
    gateway.becomes("nobody is asked", lambda a: a.app == "web", "/all", HOST)
    settings(global_auth_url="http://judge.default.svc.cluster.local/status/401", global_auth_signin="https://login.example/")
    assert gateway.becomes("one is", lambda a: a.status == 302, "/all", HOST).fields["location"].startswith("https://login.example/?rd=")
    assert [gateway.ask(p, HOST).status for p in ("/own", "/free", "/.well-known/acme-challenge/t")] == [200] * 3
    settings(global_auth_url="login.example")
    gateway.becomes("what is no server closes", lambda a: a.status == 503, "/all", HOST)
    assert [gateway.ask(p, HOST).status for p in ("/own", "/free")] == [200] * 2


def test_settings_that_protect(lab, gateway, ingress, settings):
    ingress("all", [rule(HOST, ("/all", "Prefix", "web"))])
    ingress("some", [rule(HOST, ("/some", "Prefix", "web"))], {"denylist-source-range": "", "limit-rpm": "1", "limit-burst-multiplier": "1"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/all", HOST)
    settings(denylist_source_range="0.0.0.0/0,::/0", limit_req_status_code="429")
    gateway.becomes("nobody may", lambda a: a.status == 403, "/all", HOST)
    assert gateway.ask("/unknown", HOST).status == 404
    gateway.becomes("its own list counts, and the status is another", lambda a: a.status == 429, "/some", HOST)
    settings(denylist_source_range="0.0.0.0/99")
    gateway.becomes("what is no list closes", lambda a: a.status == 503, "/all", HOST)
    wait_until("it is told", lambda: told(lab, "ingress-nginx-controller", "SettingInvalid"))


def test_the_proxy_protocol(gateway, ingress, settings):
    ingress("p", [rule(HOST, ("/", "Prefix", "web"))])
    gateway.becomes("it is served", lambda a: a.app == "web", "/", HOST)
    settings(use_proxy_protocol="true")

    def client():
        try:
            with socket.create_connection((gateway.address, 80), 5 * SLOW) as s:
                s.sendall(f"PROXY TCP4 192.0.2.9 10.0.0.1 4000 80\r\nGET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while data := s.recv(65536):
                    answer += data
            return {k.lower(): v for k, v in json.loads(answer.partition(b"\r\n\r\n")[2])["headers"].items()}["x-real-ip"]
        except (OSError, ValueError):
            return None
    wait_until("the head is read", lambda: client() == "192.0.2.9")
    settings(use_proxy_protocol="false")
    gateway.becomes("it is served", lambda a: a.app == "web", "/", HOST)


def test_what_no_ingress_is_for(lab, gateway, ingress):
    """--default-backend-service: unknown hosts and paths go there as they come, and errors, where an Ingress names no one else."""
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control"
    container = lab.get("deployments/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]
    ingress("e", [rule(HOST, ("/status", "Prefix", "web"), ("/gone", "Prefix", "absent"))], {"custom-http-errors": "404"})
    gateway.becomes("nobody is there", lambda a: a.status == 404 and a.app is None, "/", "unknown.example")

    def flags(args):
        lab.patch(path, {"spec": {"template": {"spec": {"containers": [{**container, "args": args}]}}}})
    try:
        flags([*container["args"], "--default-backend-service=default/other"])
        answer = gateway.becomes("what nobody knows goes there", lambda a: a.app == "other", "/x?y", "unknown.example")
        assert answer.echo["headers"].get("Host", answer.echo.get("host")) == "unknown.example" and not [h for h in answer.echo["headers"] if h.lower() == "x-code"]
        assert gateway.becomes("so does another path", lambda a: a.app == "other", "/none", HOST)
        assert gateway.ask("/status/200", HOST).status == 200 and gateway.ask("/gone", HOST).status == 503
        errors = gateway.becomes("and an error", lambda a: a.app == "other", "/status/404", HOST)
        assert {k.lower(): v for k, v in errors.echo["headers"].items()}["x-code"] == "404"
    finally:
        flags(container["args"])
    gateway.becomes("it has gone", lambda a: a.status == 404 and a.app is None, "/", "unknown.example")
