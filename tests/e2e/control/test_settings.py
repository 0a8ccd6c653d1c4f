"""The ConfigMaps of ingress-nginx: defaults, what holds for all, Services by port."""
import ipaddress
import json
import socket

import pytest
import recording_backend as recorder
from gateway import rule
from suite import SLOW, wait_until

SYSTEM = "fairlead-system"
HSTS = "strict-transport-security"


def config_map(name, data, namespace=SYSTEM):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


@pytest.fixture(scope="module")
def rec(lab, gateway):
    lab.apply(*recorder.objects("rec", {"x-secret": "1", "x-other": "2", "server": "python"}))
    lab.wait_ready("app=rec", 1)


def told(lab, name, reason):
    return [e["message"] for e in lab.get("events", "-n", SYSTEM)["items"] if e["involvedObject"]["name"] == name and e["reason"] == reason]


def test_hsts(gateway, ingress, settings):
    ingress("h", [rule("h.example", ("/", "Prefix", "web"))], tls=[{"hosts": ["h.example"], "secretName": "none"}])
    ingress("n", [rule("n.example", ("/", "Prefix", "web"))])
    answer = gateway.becomes("it is sent", lambda a: HSTS in a.fields, "/", "h.example", tls=True)
    assert answer.fields[HSTS] == "max-age=31536000; includeSubDomains" and HSTS not in gateway.ask("/", "h.example").fields
    assert gateway.becomes("the other is served", lambda a: a.app == "web", "/", "n.example") and HSTS not in gateway.ask("/", "n.example", tls=True).fields
    settings(hsts_max_age="60", hsts_include_subdomains="false", hsts_preload="true")
    gateway.becomes("it changes", lambda a: a.fields.get(HSTS) == "max-age=60; preload", "/", "h.example", tls=True)
    settings(hsts="false")
    gateway.becomes("it goes", lambda a: a.app == "web" and HSTS not in a.fields, "/", "h.example", tls=True)


def test_redirects(gateway, ingress, settings):
    ingress("r", [rule("r.example", ("/", "Prefix", "web"))], tls=[{"hosts": ["r.example"], "secretName": "none"}])
    gateway.becomes("it redirects", lambda a: a.status == 308, "/", "r.example")
    assert gateway.ask("/", "r.example", headers={"X-Forwarded-Proto": "https"}).status == 308, "nobody is believed"
    settings(http_redirect_code="301", use_forwarded_headers="true")
    gateway.becomes("it redirects otherwise", lambda a: a.status == 301, "/x?y", "r.example")
    gateway.becomes("what came over https is served", lambda a: a.app == "web", "/", "r.example", headers={"X-Forwarded-Proto": "https"})
    settings(ssl_redirect="false")
    gateway.becomes("it does not redirect", lambda a: a.app == "web", "/", "r.example")
    ingress("r", [rule("r.example", ("/", "Prefix", "web"))], {"ssl-redirect": "true"}, tls=[{"hosts": ["r.example"], "secretName": "none"}])
    gateway.becomes("the annotation comes first", lambda a: a.status == 308, "/", "r.example")


def test_fields(lab, gateway, ingress, settings, rec):
    lab.apply(config_map("add", {"X-Frame-Options": "DENY", "X-Percent": "100%", "Content-Length": "1"}), config_map("set", {"X-Client": "a=$remote_addr", "X-Uri": "${request_uri}",
              "User-Agent": "", "X-Odd": "$msec"}))
    ingress("f", [rule("f.example", ("/", "Prefix", "rec"))])
    assert gateway.becomes("it is served", lambda a: a.status == 200, "/", "f.example").fields["x-secret"] == "1"
    settings(hide_headers="X-Secret, x-none", add_headers=SYSTEM + "/add", proxy_set_headers=SYSTEM + "/set", server_tokens="false")
    got = gateway.becomes("fields come", lambda a: "x-frame-options" in a.fields and "x-uri" in dict(a.echo["headers"]), "/p?q=1", "f.example", headers={"User-Agent": "me"})
    assert got.fields["x-frame-options"] == "DENY" and got.fields["x-percent"] == "100%" and "x-secret" not in got.fields and got.fields["x-other"] == "2" and "server" not in got.fields
    sent = dict(map(tuple, got.echo["headers"]))
    assert sent["x-uri"] == "/p?q=1" and ipaddress.ip_address(sent["x-client"].removeprefix("a=")) and "user-agent" not in sent and "x-odd" not in sent
    assert gateway.ask("/", "unknown.example").fields["x-frame-options"] == "DENY"
    wait_until("what is not sent is told", lambda: told(lab, "set", "FieldInvalid") and told(lab, "add", "FieldInvalid"))
    lab.apply(config_map("add", {"X-Frame-Options": "SAMEORIGIN"}))
    gateway.becomes("they change", lambda a: a.fields.get("x-frame-options") == "SAMEORIGIN", "/", "f.example")
    lab.fairlead("delete", "configmaps/add", "configmaps/set", "-n", SYSTEM)


def test_who_a_client_is(gateway, ingress, settings):
    """Endpoints believe what ingress-nginx says of a client; the client does not get to say it."""
    def said(answer):
        return {n.lower(): v for n, v in dict(answer.echo["headers"]).items()}
    ingress("c", [rule("c.example", ("/", "Prefix", "web"))])
    forged = {"X-Real-IP": "192.0.2.1", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "1", "X-Scheme": "https",
              "X-Forwarded-Proto": "https", "X-Forwarded-Scheme": "https", "Proxy": "http://192.0.2.1"}
    got = said(gateway.becomes("it is served", lambda a: a.app == "web", "/", "c.example", headers=forged))
    ipaddress.ip_address(got["x-real-ip"])
    assert "proxy" not in got and "192.0.2.1" not in json.dumps(got) and got["x-forwarded-for"] == got["x-real-ip"] == got["x-real-ip"].removeprefix("::ffff:")
    assert [got["x-" + n] for n in ("forwarded-host", "forwarded-port", "forwarded-proto", "forwarded-scheme", "scheme")] == ["c.example", "80", "http", "http", "http"]
    settings(use_forwarded_headers="true")
    gateway.becomes("who is before us is believed", lambda a: a.app == "web" and said(a)["x-real-ip"] == "192.0.2.1", "/", "c.example", headers=forged)


def test_names_with_underscores(gateway, ingress, settings, rec):
    """To many backends X_Real_Ip is X-Real-Ip: they are dropped, as ingress-nginx does, unless they are wanted."""
    def names(answer):
        return {n.lower() for n in answer.echo["headers"]}
    ingress("u", [rule("u.example", ("/", "Prefix", "web"))])
    given = {"ssl_client_verify": "SUCCESS", "X_Real_IP": "192.0.2.1", "X-Plain": "1"}
    answer = gateway.becomes("it is served", lambda a: a.app == "web", "/", "u.example", headers=given)
    assert "x-plain" in names(answer) and not [n for n in names(answer) if "_" in n]
    settings(enable_underscores_in_headers="true")
    gateway.becomes("they go through", lambda a: a.app == "web" and "ssl_client_verify" in names(a), "/", "u.example", headers=given)


def test_connections(lab, gateway, ingress, settings):
    ingress("c", [rule("c.example", ("/", "Prefix", "web"))])
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "c.example")
    settings(keep_alive="0", proxy_read_timeout="1", ssl_protocols="TLSv1.3")
    gateway.becomes("connections end", lambda a: a.fields.get("connection") == "close", "/", "c.example")
    assert gateway.becomes("the time-out is another", lambda a: a.status == 504, "/delay/3", "c.example")
    ingress("c", [rule("c.example", ("/", "Prefix", "web"))], {"proxy-read-timeout": "10"})
    gateway.becomes("the annotation comes first", lambda a: a.status == 200, "/delay/2", "c.example")


def test_what_is_not_taken(lab, gateway, ingress, settings):
    ingress("w", [rule("w.example", ("/", "Prefix", "web"))], tls=[{"hosts": ["w.example"], "secretName": "none"}])
    settings(hsts="maybe", http_redirect_code="404", proxy_read_timeout="10s", enable_brotli="true", no_such_key="x", hsts_max_age="60")
    gateway.becomes("the others hold", lambda a: a.fields.get(HSTS) == "max-age=60; includeSubDomains", "/", "w.example", tls=True)
    assert gateway.ask("/", "w.example").status == 308
    wait_until("each is told once", lambda: [len(told(lab, "ingress-nginx-controller", r)) for r in ("SettingInvalid", "SettingNotSupported")] == [3, 2])


def ask_port(address, port, first=b""):
    with socket.create_connection((address, port), 5 * SLOW) as s:
        s.sendall(first + b"GET / HTTP/1.1\r\nHost: tcp.example\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := s.recv(65536):
            answer += data
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_services_by_port(lab, gateway):
    service = lab.get("svc/fairlead-gateway", "-n", SYSTEM)
    ports = service["spec"]["ports"]
    more = [{"name": f"tcp-{p}", "port": p, "targetPort": p} for p in (9000, 9001)]
    lab.patch(f"/api/v1/namespaces/{SYSTEM}/services/fairlead-gateway", {"spec": {"ports": ports + more}})

    def reaches(port, app, first=b""):
        def look():
            try:
                return ask_port(gateway.address, port, first)["name"].startswith(app)
            except (OSError, ValueError):
                return False
        return wait_until(f"{port} reaches {app}", look)

    try:
        lab.apply(config_map("tcp-services", {"9000": "default/web:80", "9001": "default/other:http:PROXY", "9002": "default/web:80::PROXY", "8080": "default/web:80",
                                              "x": "default/web:80", "9003": "web", "9004": "default/missing:80"}),
                  config_map("udp-services", {"53": "kube-system/dns:53"}))
        reaches(9000, "web")
        reaches(9001, "other", b"PROXY TCP4 10.9.8.7 10.0.0.1 4000 80\r\n")
        wait_until("what is not served is told", lambda: (len(told(lab, "tcp-services", "StreamServiceInvalid")), len(told(lab, "tcp-services", "ServiceNotFound")),
                                                          len(told(lab, "udp-services", "UdpNotSupported"))) == (4, 1, 1))
        lab.apply(config_map("tcp-services", {"9000": "default/other:http"}))
        reaches(9000, "other")
        lab.fairlead("delete", "configmap/tcp-services", "-n", SYSTEM)

        def refused():
            try:
                ask_port(gateway.address, 9000)
            except (OSError, ValueError):
                return True
        wait_until("nobody listens", refused)
    finally:
        lab.patch(f"/api/v1/namespaces/{SYSTEM}/services/fairlead-gateway", {"spec": {"ports": ports}})
        lab.fairlead("delete", "configmap/tcp-services", "configmap/udp-services", "-n", SYSTEM, "--ignore-not-found")


def test_fields_of_answers_of_one_ingress(lab, gateway, ingress, events, settings, rec):
    """custom-headers: on every answer, in place of the endpoint's; those that are allowed, as they are now."""
    fields = lambda **data: lab.apply(config_map("fields", {k.replace("_", "-"): v for k, v in data.items()}, "default"))  # noqa: E731
    try:
        ingress("f", [rule("f.example", ("/", "Prefix", "rec"), ("/none", "Prefix", "absent"))], {"custom-headers": "default/fields"})
        gateway.becomes("it is served without", lambda a: a.status == 200 and a.fields["x-other"] == "2", "/", "f.example")
        wait_until("what is missing is told", lambda: events("f", "FieldsNotFound"))
        fields(X_Other="ours", X_Team="a%b")
        wait_until("what is not allowed is told", lambda: any("X-Other" in m and "X-Team" in m for m in events("f", "FieldNotAllowed")))
        settings(global_allowed_response_headers="X-Other")
        gateway.becomes("it replaces the endpoint's", lambda a: a.fields.get("x-other") == "ours" and "x-team" not in a.fields, "/", "f.example")
        settings(global_allowed_response_headers="X-Other, x-team")
        gateway.becomes("it is allowed", lambda a: a.fields.get("x-team") == "a%b", "/", "f.example")
        assert gateway.ask("/none", "f.example").fields["x-team"] == "a%b"
        ingress("f-r", [rule("f-r.example", ("/", "Prefix", "rec"))], {"custom-headers": "fields", "force-ssl-redirect": "true"})
        gateway.becomes("redirects have it, too", lambda a: a.status == 308 and a.fields.get("x-team") == "a%b", "/", "f-r.example")
        fields(X_Team="other")
        gateway.becomes("a change counts", lambda a: a.fields.get("x-team") == "other" and a.fields["x-other"] == "2", "/", "f.example")
        assert "with fields of ConfigMap default/fields" in lab.fairlead("explain", "GET", "http://f.example/")
    finally:
        lab.fairlead("delete", "configmap/fields", "--ignore-not-found")
