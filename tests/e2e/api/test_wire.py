"""What clients other than kubectl rely on: WebSocket watches, forms of answers, headers, warnings, words of what is not there."""
import base64
import hashlib
import json
import os
import socket
import struct

import pytest

from api_server import TOKEN, deployment, pod, service
from suite import run

DEFAULT = "/api/v1/namespaces/default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def url(ns, plural="configmaps", name=None):
    return f"/api/v1/namespaces/{ns}/{plural}" + (f"/{name}" if name else "")


def cm(name, **data):
    return {"metadata": {"name": name}, "data": data}


# ---- WebSocket ----

class WebSocket:
    def __init__(self, server, path, protocols=None):
        self.socket = server.tls.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10), server_hostname="127.0.0.1")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"] + ([f"Sec-WebSocket-Protocol: {protocols}"] if protocols else [])
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.read()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *headers = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, v in (h.split(": ", 1) for h in headers)}
        if self.status == 101:
            want = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
            assert self.headers["sec-websocket-accept"] == want

    def read(self):
        more = self.socket.recv(65536)
        assert more, "the connection ended"
        return more

    def take(self, n):
        while len(self.rest) < n:
            self.rest += self.read()
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def frame(self):
        """(opcode, payload); what the server sends is whole and not masked."""
        first, length = self.take(2)
        assert first & 0x80 and length < 128
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        return first & 15, self.take(length)

    def event(self):
        opcode, payload = self.frame()
        assert opcode == 1 and payload[:1] == b"{"
        return json.loads(payload)

    def send(self, opcode, payload=b""):
        mask = os.urandom(4)
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def close(self):
        self.socket.close()


def test_watch_by_websocket(server, ns):
    server.post(url(ns), cm("a"))
    w = WebSocket(server, url(ns) + "?watch=true")
    assert w.status == 101
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in [w.event()]] == [("ADDED", "a")]
    server.post(url(ns), cm("b", x="y" * 70000))
    server.delete(url(ns, name="a"))
    b, a = w.event(), w.event()
    assert (b["type"], b["object"]["metadata"]["name"], a["type"]) == ("ADDED", "b", "DELETED")
    w.send(9, b"are you there")
    assert w.frame() == (10, b"are you there")
    w.send(1, b"what clients say is ignored")
    w.send(8, struct.pack(">H", 1000))
    assert w.frame()[0] == 8
    w.close()


def test_a_websocket_watch_ends_in_time(server, ns):
    w = WebSocket(server, url(ns) + "?watch=true&timeoutSeconds=1", "some.protocol")
    assert w.headers["sec-websocket-protocol"] == "some.protocol"
    assert w.frame()[0] == 8
    w.close()


def test_a_websocket_that_breaks_the_protocol_is_closed(server, ns):
    for junk in (b"\x81\x05hello", b"\xff\xff\xff\xff\xff",  # not masked; no opcode
                 b"\x81\xff" + struct.pack(">Q", 100000) + b"mask" + b"x" * 67000):  # more than is read
        w = WebSocket(server, url(ns) + "?watch=true")
        w.socket.sendall(junk)
        assert w.socket.recv(1) == b""
        w.close()
    assert server.get("/readyz").status == 200


def test_what_cannot_be_watched_is_said_before_the_upgrade(server, ns):
    w = WebSocket(server, url(ns) + "?watch=true&labelSelector=a%20b%20c")
    assert w.status == 400
    w.close()


def test_a_server_ends_with_websockets_open(make_server):
    server = make_server()
    sockets = [WebSocket(server, DEFAULT + "/configmaps?watch=1") for _ in range(3)]
    assert server.stop() == 0
    for w in sockets:
        w.close()


# ---- watches and lists ----

def test_no_bookmark_for_who_did_not_ask(server, ns):
    server.post(url(ns), cm("a"))
    query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    w = server.watch(url(ns) + query)
    assert [e["type"] for e in iter(w.next, None)] == ["ADDED"]
    w = server.watch(url(ns) + query + "&allowWatchBookmarks=true")
    assert [e["type"] for e in iter(w.next, None)][:2] == ["ADDED", "BOOKMARK"]


def test_columns_are_told_once(server, ns):
    server.post(url(ns), cm("a"))
    w = server.watch(url(ns) + "?watch=1", headers={"Accept": TABLE})
    first = w.next()["object"]
    assert [c["name"] for c in first["columnDefinitions"]] == ["Name", "Data", "Age"]
    server.post(url(ns), cm("b"))
    assert w.next()["object"]["columnDefinitions"] is None
    w.close()
    w = server.watch(url(ns) + f"?watch=1&resourceVersion={server.get(url(ns)).json['metadata']['resourceVersion']}", headers={"Accept": TABLE})
    other = server.watch(url(ns) + "?watch=1", headers={"Accept": TABLE})
    assert [other.next()["object"]["columnDefinitions"] is None for _ in range(2)] == [False, True]
    server.post(url(ns), cm("c"))
    assert w.next()["object"]["columnDefinitions"] and other.next()["object"]["columnDefinitions"] is None
    w.close()
    other.close()


def test_the_old_form_of_watches(server, ns):
    server.post(url(ns), cm("a"))
    for path in (f"/api/v1/watch/namespaces/{ns}/configmaps", f"/api/v1/watch/namespaces/{ns}/configmaps/a", "/api/v1/watch/configmaps?labelSelector=none",
                 "/apis/apps/v1/watch/deployments"):
        w = server.watch(path + ("&" if "?" in path else "?") + "timeoutSeconds=1")
        assert w.status == 200
        assert [e["object"]["metadata"]["name"] for e in iter(w.next, None)] == (["a"] if ns in path else [])


def test_limits(server, ns):
    for i in range(4):
        server.post(url(ns), {"metadata": {"name": f"c{i}", "labels": {"a": "b"}}})
    first = server.get(url(ns) + "?limit=1").json["metadata"]
    assert first["remainingItemCount"] == 3 and first["continue"]
    assert "remainingItemCount" not in server.get(url(ns) + "?limit=1&labelSelector=a%3Db").json["metadata"]
    for query in ("limit=1&resourceVersion=0", "limit=-1", "limit=0"):
        assert len(server.get(url(ns) + "?" + query).json["items"]) == 4, query
    assert server.get(url(ns) + "?limit=x").status == 400


def test_items_have_no_kind(server, ns):
    server.post(url(ns), cm("a"))
    listed = server.get(url(ns)).json
    assert listed["kind"] == "ConfigMapList" and not {"kind", "apiVersion"} & set(listed["items"][0])
    assert server.get(url(ns, name="a")).json["kind"] == "ConfigMap"
    server.post(url(ns, "events"), {"metadata": {"name": "e"}, "involvedObject": {"namespace": ns}, "type": "Normal"})
    for path in (url(ns, "events"), f"/apis/events.k8s.io/v1/namespaces/{ns}/events"):
        assert not {"kind", "apiVersion"} & set(server.get(path).json["items"][0])


# ---- what DELETE answers ----

@pytest.mark.parametrize("plural, body, shown", [
    ("services", service("x"), "Service"), ("serviceaccounts", {"metadata": {"name": "x"}}, "ServiceAccount"), ("pods", pod("x"), "Pod"),
    ("replicationcontrollers", {"metadata": {"name": "x"}, "spec": {"selector": {"a": "b"}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}, "ReplicationController"),
    ("configmaps", cm("x"), "Status"), ("secrets", {"metadata": {"name": "x"}}, "Status"), ("endpoints", {"metadata": {"name": "x"}}, "Status"),
    ("events", {"metadata": {"name": "x"}, "involvedObject": {"namespace": "{ns}"}}, "Status"),
])
def test_what_delete_answers(server, ns, plural, body, shown):
    body = json.loads(json.dumps(body).replace("{ns}", ns))
    made = server.post(url(ns, plural), body)
    assert made.status == 201, made.body
    reply = server.delete(url(ns, plural, "x"))
    assert (reply.status, reply.json["kind"]) == (200, shown)
    if shown == "Status":
        assert reply.json["details"] == {"name": "x", "kind": plural, "uid": made.json["metadata"]["uid"]}
    else:
        assert reply.json["metadata"]["uid"] == made.json["metadata"]["uid"]


def test_delete_of_other_groups(server, ns):
    server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("x"))
    reply = server.delete(f"/apis/apps/v1/namespaces/{ns}/deployments/x").json
    assert reply["kind"] == "Status" and reply["details"]["group"] == "apps"
    assert server.delete(url(ns)).json["kind"] == "ConfigMapList"
    assert server.delete(f"/api/v1/namespaces/{ns}").json["kind"] == "Namespace"


# ---- forms ----

def test_yaml_and_pretty(server, ns):
    server.post(url(ns), cm("a", k="v"))
    for path in (url(ns, name="a"), url(ns)):
        reply = server.get(path, headers={"Accept": "application/yaml"})
        assert dict(reply.headers)["Content-Type"] == "application/yaml" and b"apiVersion: v1\n" in reply.body
    assert b"reason: NotFound" in server.get(url(ns, name="none"), headers={"Accept": "application/yaml"}).body
    pretty = server.get(url(ns, name="a") + "?pretty=true")
    assert b'\n    "kind": "ConfigMap"' in pretty.body and pretty.json["data"] == {"k": "v"}
    assert b"\n" not in server.get(url(ns, name="a") + "?pretty=false").body
    made = server.call("POST", url(ns), "metadata: {name: new}\n", type="application/yaml", headers={"Accept": "application/yaml"})
    assert made.status == 201 and b"name: new\n" in made.body
    assert server.get(url(ns), headers={"Accept": "application/cbor"}).status == 406
    assert server.call("POST", url(ns), b"\xd9\xd9\xf7", type="application/cbor").status == 415


def test_every_answer_is_dated_and_named(server, ns):
    seen = set()
    for path in (url(ns), url(ns, name="none"), "/version", "/api", "/nothing", "/readyz", "/metrics", url(ns) + "?watch=1&timeoutSeconds=1"):
        headers = dict(server.get(path).headers)
        assert headers["Cache-Control"] == "no-cache, private"
        assert headers["Date"].endswith(" GMT")
        seen.add(headers["Audit-Id"])
    for path in ("/apis", "/openapi/v3", "/openid/v1/jwks"):
        headers = dict(server.get(path, headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}).headers)
        assert headers["Cache-Control"].startswith("public") and headers["Date"]
        seen.add(headers["Audit-Id"])
    assert len(seen) == 11
    assert dict(server.get(url(ns), headers={"Audit-Id": "mine"}).headers)["Audit-Id"] == "mine"


def test_methods_that_are_not_served(server, ns):
    server.post(url(ns), cm("a"))
    for path in (url(ns), url(ns, name="a")):
        for method in ("HEAD", "OPTIONS"):
            assert server.call(method, path).status == 405


def test_scale_as_a_table(server, ns):
    server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("d", replicas=3))
    table = server.get(f"/apis/apps/v1/namespaces/{ns}/deployments/d/scale", headers={"Accept": TABLE}).json
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["d", 3, 0] and table["rows"][0]["object"]["metadata"]["name"] == "d"


# ---- OpenID ----

def test_openid(server, ns, tmp_path):
    document = server.get("/.well-known/openid-configuration").json
    assert document["jwks_uri"].endswith("/openid/v1/jwks") and document["id_token_signing_alg_values_supported"] == ["ES256"]
    reply = server.get("/openid/v1/jwks")
    assert dict(reply.headers)["Content-Type"] == "application/jwk-set+json"
    key, = reply.json["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    server.post(url(ns, "serviceaccounts"), {"metadata": {"name": "sa"}})
    token = server.post(url(ns, "serviceaccounts", "sa") + "/token", {"spec": {}}).json["status"]["token"]

    def decode(s):
        return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
    head, payload, signature = token.split(".")
    assert json.loads(decode(head)) == {"alg": "ES256", "kid": key["kid"]}
    assert json.loads(decode(payload))["iss"] == document["issuer"]
    # as anybody would check it: the public key from the document, in DER, with openssl
    point = b"\x04" + decode(key["x"]) + decode(key["y"])
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + point
    assert base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode() == key["kid"]
    (tmp_path / "key.der").write_bytes(spki)
    r, s = (int.from_bytes(decode(signature)[i:i + 32], "big") for i in (0, 32))

    def integer(n):
        raw = n.to_bytes(n.bit_length() // 8 + 1, "big")
        return bytes([2, len(raw)]) + raw
    both = integer(r) + integer(s)
    (tmp_path / "sig").write_bytes(bytes([0x30, len(both)]) + both)
    (tmp_path / "text").write_text(f"{head}.{payload}")
    assert "Verified OK" in run("openssl", "dgst", "-sha256", "-verify", tmp_path / "key.der", "-keyform", "DER", "-signature", tmp_path / "sig", tmp_path / "text")


def test_the_root_lists_paths(server):
    paths = server.get("/").json["paths"]
    for path in paths:
        assert server.get(path).status == 200, path
    assert {"/api/v1", "/apis/apps/v1", "/openid/v1/jwks", "/readyz"} <= set(paths)


# ---- words ----

@pytest.mark.parametrize("spec, words", [
    ({"externalIPs": ["192.0.2.1"]}, "spec.externalIPs is deprecated and may no longer be implemented in some clusters"),
    ({"externalIPs": ["192.0.2.1"], "clusterIP": "None"}, "spec.externalIPs is ignored for headless services"),
    ({"sessionAffinity": "ClientIP", "clusterIP": "None"}, "spec.SessionAffinity is ignored for headless services"),
    ({"trafficDistribution": "PreferClose"}, 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
    ({"externalName": "a.b"}, 'spec.externalName is ignored when spec.type is not "ExternalName"'),
    ({"externalIPs": ["2001:DB8::1"]}, 'spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'),
    ({"loadBalancerIP": "192.0.2.1", "type": "LoadBalancer"}, None),
    ({"trafficDistribution": "PreferSameNode"}, None),
])
def test_warnings_of_services(server, ns, spec, words):
    for reply in (server.post(url(ns, "services"), service("w", **spec)), server.patch(url(ns, "services", "w"), {"metadata": {"labels": {"a": "b"}}})):
        assert reply.status in (200, 201), reply.body
        said = [w.split('"', 1)[1][:-1].replace('\\"', '"') for w in reply.warnings()]
        assert (words in said) if words else not said


def test_endpoints_are_deprecated(server, ns):
    words = ['299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"']
    for reply in (server.post(url(ns, "endpoints"), {"metadata": {"name": "e"}}), server.get(url(ns, "endpoints")), server.get(url(ns, "endpoints", "none")),
                  server.get(url(ns, "endpoints") + "?watch=1&timeoutSeconds=1")):
        assert reply.warnings() == words
    fqdn = {"metadata": {"name": "f"}, "addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]}
    reply = server.post(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", fqdn)
    assert reply.warnings() == ['299 - "spec.addressType: FQDN endpoints are deprecated"']


def test_duplicates_are_named_by_their_path(server, ns):
    body = '{"metadata":{"name":"d"},"spec":{"ports":[{"port":80,"name":"a"},{"port":81,"port":82,"name":"b"}],"type":"ClusterIP"}}'
    reply = server.call("POST", url(ns, "services"), body, type="application/json")
    assert reply.status == 201 and reply.warnings() == ['299 - "duplicate field \\"spec.ports[1].port\\""']
    assert reply.json["spec"]["ports"][1]["port"] == 82, "the last wins"
    reply = server.call("PATCH", url(ns, "services", "d"), '{"spec":{"type":"NodePort","type":"ClusterIP"},"bogus":1}', type="application/merge-patch+json")
    assert reply.status == 200
    assert reply.warnings() == ['299 - "duplicate field \\"spec.type\\""', '299 - "unknown field \\"bogus\\""']


@pytest.mark.parametrize("path, words", [
    ("/apis/apps/v1/namespaces/default/statefulsets", "this lab has no statefulsets.apps: use a Deployment"),
    ("/apis/apps/v1/statefulsets/x", "this lab has no statefulsets.apps: "),
    ("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/i", "this lab has no networkpolicies.networking.k8s.io: "),
    ("/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1", "what Services hold is read from the Services"),
    ("/api/v1/persistentvolumes", "this lab has no persistentvolumes: "),
    ("/api/v1/namespaces/default/resourcequotas", "this lab has no resourcequotas: "),
    ("/apis/apps/v1/namespaces/default/frobs", "the server could not find the requested resource"),
    ("/apis/example.org/v1/frobs", "the server could not find the requested resource"),
])
def test_what_is_not_there_says_so(server, path, words):
    reply = server.get(path)
    assert (reply.status, reply.json["reason"]) == (404, "NotFound")
    assert words in reply.json["message"]
