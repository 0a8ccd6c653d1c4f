"""The API server as an attacker meets it: with a token of a pod, or with none. Each test is a hole that was looked for; the server
must answer with an error soon, stay small, and go on serving."""
import base64
import json
import os
import socket
import ssl
import time

import pytest
from api_server import TOKEN, deployment, pod
from test_semantics import envelope, field
from test_tunnel import Kubelet, node_with_pod
from test_wire import WebSocket

PB = {"type": "application/vnd.kubernetes.protobuf"}
CM = "/api/v1/namespaces/default/configmaps"
ROOM = 8 if os.environ.get("FAIRLEAD_SANITIZED") else 1  # there, freed memory is kept aside and every access is checked
TICK = os.sysconf("SC_CLK_TCK")


def rss_mib(server):
    return next(int(l.split()[1]) for l in open(f"/proc/{server.process.pid}/status") if l.startswith("VmRSS")) / 1024


def cpu_s(server):
    """Of the server: what a request costs, however busy the machine is."""
    f = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICK


def open_tls(server, timeout=20):
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
    return server.tls.wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.fixture(autouse=True)
def goes_on_serving(request):
    """After every attack an ordinary request is answered at once."""
    yield
    s = request.getfixturevalue("server") if "server" in request.fixturenames else None
    if s:
        begin = time.monotonic()
        assert s.get("/api/v1/namespaces/default").status == 200
        assert time.monotonic() - begin < 5


# ---- identities ----

def issue(server, ns, spec=None, name="sa", expect=201):
    r = server.post(f"/api/v1/namespaces/{ns}/serviceaccounts/{name}/token", {"spec": spec or {}})
    assert r.status == expect, r.body
    return r.json["status"]["token"] if expect == 201 else None


def test_a_token_for_another_audience_opens_nothing_here(server, ns):
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "sa"}})
    vault, ours = issue(server, ns, {"audiences": ["vault"]}), issue(server, ns)
    assert server.get(CM, token=vault).status == 401
    assert server.get("/api", token=ours).status == 200
    review = lambda token, *audiences: server.post(  # noqa: E731
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token, "audiences": list(audiences)}}).json["status"]
    assert review(vault, "vault", "other")["audiences"] == ["vault"]
    assert not review(vault)["authenticated"] and not review(vault, "other")["authenticated"] and not review(ours, "vault")["authenticated"]


def test_a_bound_token_ends_with_what_it_is_bound_to(server, ns):
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "sa"}})
    uid = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", serviceAccountName="sa")).json["metadata"]["uid"]
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    token = issue(server, ns, {"boundObjectRef": ref})
    assert server.get("/api", token=token).status == 200
    issue(server, ns, {"boundObjectRef": {**ref, "name": "none"}}, expect=404)
    issue(server, ns, {"boundObjectRef": {**ref, "uid": "other"}}, expect=409)
    issue(server, ns, {"boundObjectRef": {**ref, "kind": "Node"}}, expect=422)  # not kept, so not promised
    issue(server, ns, {"boundObjectRef": {**ref, "uid": uid}})
    server.delete(f"/api/v1/namespaces/{ns}/pods/p")
    assert server.get(CM, token=token).status == 401
    server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", serviceAccountName="sa"))
    assert server.get(CM, token=token).status == 401, "another pod of that name"


def test_a_token_is_bound_to_pods_of_its_own_account(server, ns):
    """Else whoever may ask for tokens of one account gets one that a pod of another keeps alive and answers for."""
    for name in "sa", "other":
        server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": name}})
    server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", serviceAccountName="other"))
    spec = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}
    issue(server, ns, spec, name="other")
    r = server.post(f"/api/v1/namespaces/{ns}/serviceaccounts/sa/token", {"spec": spec})
    assert (r.status, r.json["reason"]) == (400, "BadRequest")
    assert r.json["message"] == 'cannot bind token for serviceaccount "sa" to pod running with different serviceaccount name.'


def test_how_long_a_token_lives(server, ns):
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "sa"}})
    for seconds, words in ((599, "less than 10 minutes"), (0, "less than 10 minutes"), (-1, "less than 10 minutes"), (2**32 + 1, "larger than 2^32 seconds")):
        r = server.post(f"/api/v1/namespaces/{ns}/serviceaccounts/sa/token", {"spec": {"expirationSeconds": seconds}})
        assert r.status == 422 and r.json["details"]["kind"] == "TokenRequest"
        assert r.json["message"] == ('TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: '
                                     f"Invalid value: {seconds}: may not specify a duration {words}")
    issue(server, ns, {"expirationSeconds": 600})
    token = {"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", serviceAccountName="sa", volumes=[{"name": "t", "projected": {"sources": [token]}}]))
    assert r.status == 422 and "sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify" in r.json["message"]


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def test_forged_tokens(server, ns):
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "sa"}})
    head, body, sig = issue(server, ns).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = b64({**claims, "sub": "system:admin"})
    for token in (f"{b64({'alg': 'none'})}.{body}.", f"{b64({'alg': 'none'})}.{body}.{sig}", f"{head}.{other}.{sig}", f"{head}.{body}.",
                  f"{head}.{body}.{sig}.", f"{head}.{body}.{b64(b'0' * 64)}", f"{head}.{body}.{b64(bytes(64))}", f"..{sig}", "...", ".",
                  TOKEN[:-1], TOKEN + "x", TOKEN.upper(), " ", "e2e-admin", "1", '"system:masters"', "x" * 60000):
        for value in (f"Bearer {token}", token, f"Basic {token}"):
            assert server.get(CM, token=None, headers={"Authorization": value}).status in (401, 431), value[:80]


def test_impersonation_is_never_ignored(server):
    """Who asks to be another and is answered as himself believes that the other has his rights."""
    for header in ("Impersonate-Group", "Impersonate-Extra-x", "impersonate-uid"):
        assert server.get(CM, headers={header: "nobody"}).status == 400, header
    assert server.get(CM, headers={"impersonate-user": "nobody"}).status == 403
    for header in ("X-Remote-User", "X-Remote-Group", "X-Forwarded-User"):
        assert server.get(CM, token=None, headers={header: "system:admin"}).status == 401


# ---- names that become files, headers, other names ----

@pytest.mark.parametrize("key", ["..", ".", "../x", "a/b", "/etc/passwd", "..data", "a\n", "x" * 254, ""])
def test_keys_become_file_names(server, ns, key):
    for plural, more in (("configmaps", {"data": {key: "v"}}), ("configmaps", {"binaryData": {key: "eA=="}}), ("secrets", {"data": {key: "eA=="}}),
                         ("secrets", {"stringData": {key: "x"}})):
        r = server.post(f"/api/v1/namespaces/{ns}/{plural}", {"metadata": {"name": "k"}, **more})
        assert r.status == 422, (plural, more, r.body)


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/passwd", "a/..", "..data/x"])
def test_volume_paths_stay_inside(server, ns, path):
    items = [{"key": "k", "path": path}]
    mount = {"name": "v", "mountPath": "/v"}
    for volume in ({"configMap": {"name": "c", "items": items}}, {"secret": {"secretName": "c", "items": items}},
                   {"projected": {"sources": [{"configMap": {"name": "c", "items": items}}]}},
                   {"projected": {"sources": [{"serviceAccountToken": {"path": path}}]}},
                   {"downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]}}):
        p = pod("p", volumes=[{"name": "v", **volume}], containers=[{"name": "c", "image": "i", "volumeMounts": [mount]}])
        assert server.post(f"/api/v1/namespaces/{ns}/pods", p).status == 422, volume
    if not path.startswith("..data"):
        for sub in ("subPath", "subPathExpr"):
            p = pod("p", volumes=[{"name": "v", "emptyDir": {}}], containers=[{"name": "c", "image": "i", "volumeMounts": [{**mount, sub: path}]}])
            assert server.post(f"/api/v1/namespaces/{ns}/pods", p).status == 422, sub


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2Fb", "a b", "a\r\nX: y", "A", "-a", "a" * 254, "a..b", "ä", "a_b"])
def test_names_of_objects(server, ns, name):
    for plural, body in (("configmaps", {}), ("pods", {"spec": {"containers": [{"name": "c", "image": "i"}]}}), ("secrets", {})):
        r = server.post(f"/api/v1/namespaces/{ns}/{plural}", {"metadata": {"name": name}, **body})
        assert r.status == 422, (plural, r.body)
    assert server.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 422
    assert server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", containers=[{"name": name, "image": "i"}])).status == 422
    assert server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", volumes=[{"name": name, "emptyDir": {}}])).status == 422


def test_zero_bytes_in_paths_and_bodies(server, ns):
    server.post(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "a"}})
    assert server.get(f"/api/v1/namespaces/{ns}/configmaps/a%00b").status == 404
    assert server.get(f"/api/v1/namespaces/{ns}%00/configmaps/a").status == 404
    assert server.call("POST", f"/api/v1/namespaces/{ns}/configmaps", '{"metadata":{"name":"z\\u0000y"}}', type="application/json").status == 400
    assert server.call("POST", f"/api/v1/namespaces/{ns}/configmaps", 'metadata: {name: "z\\0y"}\n', type="application/yaml").status in (400, 422)
    for meta in (field(1, b"z\0y"), field(1, "z") + field(11, field(1, b"k\0") + field(2, "v")), field(1, "z") + field(11, field(1, "k") + field(2, b"\0"))):
        r = server.call("POST", f"/api/v1/namespaces/{ns}/configmaps", envelope("v1", "ConfigMap", field(1, meta)), **PB)
        assert r.status in (400, 422), r.body
    for data in (field(1, b"k\0k") + field(2, "v"), field(1, "k") + field(2, b"v\0v"), field(1, "k") + field(2, b"\xff\xfe"), field(1, b"\xff") + field(2, "v")):
        r = server.call("POST", f"/api/v1/namespaces/{ns}/configmaps", envelope("v1", "ConfigMap", field(1, field(1, "z")) + field(2, data)), **PB)
        assert r.status in (400, 422), (data, r.body)
    assert {o["metadata"]["name"] for o in server.get(f"/api/v1/namespaces/{ns}/configmaps").json["items"]} <= {"a"}


def test_an_annotation_does_not_write_the_request_to_the_node(server, ns):
    def answer(head, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port)
    for value in ("c HTTP/1.1\r\nHost: x\r\n\r\nGET /exec/kube-system/p/c?command=id", "../../pods", "none"):
        server.patch(f"/api/v1/namespaces/{ns}/pods/p", {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": value}}})
        server.get(f"/api/v1/namespaces/{ns}/pods/p/log")
    assert all(h.startswith(f"GET /containerLogs/{ns}/p/c ") and h.count("HTTP/1.1") == 1 for h in k.heads), k.heads


def test_a_body_does_not_follow_into_the_tunnel(server, ns):
    def answer(head, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port)
    r = server.call("GET", f"/api/v1/namespaces/{ns}/pods/p/log", body="x" * 100, type="text/plain", headers={"Cookie": "c", "X-A": "b"})
    assert r.body == b"ok"
    head = k.heads[0].lower()
    assert "content-length" not in head and "transfer-encoding" not in head and "cookie" not in head


def test_warnings_are_short(server, ns):
    body = {"metadata": {"name": "w"}, **{"x" * 3000 + str(i): 1 for i in range(100)}, "a\r\nSet-Cookie: b": 1, "y" * 500_000: 1}
    r = server.post(f"/api/v1/namespaces/{ns}/configmaps", body)
    assert r.status == 201 and sum(len(w) for w in r.warnings()) < 8192 and "set-cookie" not in {k.lower() for k, _ in r.headers}


# ---- sizes and shapes ----

def many(n, one):
    return "[" + ",".join(one % i for i in range(n)) + "]"


@pytest.mark.parametrize("what", ["containers", "env", "ports", "volumes", "tolerations", "empty", "finalizers", "owners", "labels", "hostAliases"])
def test_a_body_full_of_small_things_is_answered_soon(server, ns, what):
    """As many as a body holds: nothing may compare each with each."""
    spec = '{"containers":[{"name":"c","image":"i"%s}]%s}'
    meta, in_container, in_spec = "", "", ""
    if what == "containers":
        spec = '{"containers":' + many(45000, '{"name":"c%d","image":"i"}') + "}%.0s%.0s"
    elif what == "env":
        in_container = ',"env":' + many(70000, '{"name":"E%d"}')
    elif what == "ports":
        in_container = ',"ports":' + many(30000, '{"name":"p%d","containerPort":1}')
    elif what == "volumes":
        in_spec = ',"volumes":' + many(40000, '{"name":"v%d","emptyDir":{}}')
    elif what == "tolerations":
        in_spec = ',"tolerations":' + many(60000, '{"key":"k%d"}')
    elif what == "hostAliases":
        in_spec = ',"hostAliases":' + many(50000, '{"ip":"1.1.1.%d"}')
    elif what == "empty":
        spec = '{"containers":' + "[" + ",".join(["{}"] * 500_000) + "]}%.0s%.0s"
    elif what == "finalizers":
        meta = ',"finalizers":' + many(70000, '"x.io/f%d"')
    elif what == "owners":
        meta = ',"ownerReferences":' + many(20000, '{"apiVersion":"v1","kind":"X","name":"n","uid":"u%d"}')
    elif what == "labels":
        meta = ',"labels":{' + ",".join(f'"l{i}":"v"' for i in range(90000)) + "}"
    body = '{"metadata":{"name":"big"%s},"spec":%s}' % (meta, spec % (in_container, in_spec))
    assert len(body) < 1_572_864, len(body)
    begin = cpu_s(server)
    r = server.call("POST", f"/api/v1/namespaces/{ns}/pods", body, type="application/json", conn=server.connect(60))
    took = cpu_s(server) - begin
    assert r.status in (201, 400, 413, 422), r.status
    assert took < 2 * ROOM, f"{what}: {took:.1f} s, {r.status}"
    server.delete(f"/api/v1/namespaces/{ns}/pods/big")


@pytest.mark.parametrize("what", ["ports", "merge", "order"])
def test_other_lists_are_answered_soon(server, ns, what):
    begin = cpu_s(server)
    if what == "ports":
        r = server.call("POST", f"/api/v1/namespaces/{ns}/services",
                        '{"metadata":{"name":"s"},"spec":{"ports":' + many(40000, '{"name":"p%d","port":1}') + "}}", type="application/json")
    else:
        server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("d"))
        env = many(25000, '{"name":"E%d","value":"1"}')
        patch = '{"spec":{"template":{"spec":{"containers":[{"name":"c","env":' + env + "%s}]}}}}"
        order = ',"$setElementOrder/env":' + many(25000, '{"name":"E%d"}') if what == "order" else ""
        for _ in range(2):
            r = server.patch(f"/apis/apps/v1/namespaces/{ns}/deployments/d", json.loads(patch % order), "strategic")
    took = cpu_s(server) - begin
    assert r.status in (200, 201, 400, 413, 422) and took < 5 * ROOM, f"{what}: {took:.1f} s, {r.status} {r.body[:200]}"


def test_patches_that_grow(server, ns):
    url = f"/api/v1/namespaces/{ns}/configmaps"
    server.post(url, {"metadata": {"name": "a"}, "data": {"x": "y" * 1000}})
    before = rss_mib(server)
    double = [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(40)]
    r = server.patch(url + "/a", double, "json")
    assert r.status in (400, 413, 422), r.status
    deep, ops = "/x", []
    for i in range(40):
        ops.append({"op": "add", "path": deep, "value": json.loads('{"a":' * 400 + "1" + "}" * 400)})
        deep += "/a" * 400
    body = json.dumps(ops)
    if len(body) < 1_500_000:
        r = server.call("PATCH", url + "/a", body, type="application/json-patch+json")
        assert r.status in (400, 422), r.status
    for i in range(6):  # half a megabyte more each time
        r = server.patch(url + "/a", {"data": {f"n{i}": "z" * 500_000}})
    assert r.status in (413, 422), "an object may not grow over what a request may carry"
    assert rss_mib(server) - before < 200 * ROOM


def test_deep_and_recursive_bodies(server, ns):
    url = f"/api/v1/namespaces/{ns}/pods"
    nested = b""
    for _ in range(20000):
        nested = field(2, nested) if len(nested) < 1_000_000 else nested
    begin = time.monotonic()
    assert server.call("POST", url, envelope("v1", "Pod", nested), **PB).status in (400, 422)
    assert server.call("POST", url, "[" * 1_000_000, type="application/json").status == 400
    assert server.call("POST", url, "[" * 100_000, type="application/yaml").status == 400
    assert server.call("POST", url, "&a [*a]", type="application/yaml").status == 400
    assert server.call("POST", url, "&a {b: *a}", type="application/yaml").status == 400
    assert server.call("PATCH", url + "/x", '{"a":' * 100_000, type="application/merge-patch+json").status == 400
    assert time.monotonic() - begin < 5


# ---- connections ----

def test_slow_heads_and_bodies_are_cut(server):
    """A head has ten seconds, also on a connection that has served before; a connection that never speaks, too."""
    silent, slow, later = open_tls(server), open_tls(server), open_tls(server)
    later.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    later.recv(4096)
    slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
    later.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
    begin = time.monotonic()
    ends = {}
    while len(ends) < 3 and time.monotonic() - begin < 18:
        for name, c in (("slow", slow), ("later", later), ("silent", silent)):
            if name in ends:
                continue
            c.settimeout(0.3)
            try:
                if name != "silent":
                    c.sendall(b"a")
                if not c.recv(100):
                    ends[name] = time.monotonic() - begin
            except TimeoutError:
                pass
            except (OSError, ssl.SSLError):
                ends[name] = time.monotonic() - begin
    assert set(ends) == {"slow", "later", "silent"} and max(ends.values()) < 15, ends


def test_bodies_of_strangers_do_not_fill_memory(make_server):
    """Bodies are gathered before anybody is asked who he is: together they have a limit."""
    s = make_server()
    before = rss_mib(s)
    held = []
    refused = 0
    for _ in range(150):
        c = open_tls(s)
        try:
            c.sendall(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n" + b" " * 1_400_000)
        except OSError:
            refused += 1
        held.append(c)
    assert s.get("/api/v1/namespaces").status == 200, "ordinary requests are served meanwhile"
    assert s.post("/api/v1/namespaces", {"metadata": {"name": "x"}}).status == 201
    assert rss_mib(s) - before < 150 * ROOM, rss_mib(s) - before
    for c in held:
        c.close()


def test_pings_whose_answers_nobody_reads(make_server):
    """A watch's client that only writes: its pongs are not kept."""
    s = make_server()
    w = WebSocket(s, CM + "?watch=true")
    before = rss_mib(s)
    w.socket.settimeout(2)
    pings = (b"\x89\xfd" + b"mask" + b"x" * 125) * 1000
    for _ in range(800):  # 100 MiB
        w.socket.sendall(pings)
    assert s.get("/readyz").status == 200
    assert rss_mib(s) - before < 20 * ROOM, rss_mib(s) - before
    w.close()


def test_a_client_that_does_not_read_holds_one_answer(make_server):
    s = make_server()
    s.post(CM, {"metadata": {"name": "big"}, "data": {"v": "x" * 900_000}})
    before = rss_mib(s)
    c = open_tls(s, 5)
    request = f"GET {CM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    try:
        for _ in range(400):
            c.sendall(request)
    except OSError:
        pass
    for _ in range(20):
        assert s.get("/healthz").status == 200
    assert rss_mib(s) - before < 60 * ROOM, rss_mib(s) - before
    c.close()


def test_too_many_watches_are_told_to_come_again(make_server):
    s = make_server(extra=["--watches-max", "5"])
    watches = [s.watch(CM + "?watch=1") for _ in range(5)]
    r = s.get(CM + "?watch=1")
    assert (r.status, r.json["reason"], r.json["details"]["retryAfterSeconds"]) == (429, "TooManyRequests", 1)
    assert dict(r.headers)["Retry-After"] == "1"
    watches[0].close()
    deadline = time.monotonic() + 5
    while s.get(CM + "?watch=1&timeoutSeconds=1").status != 200:
        assert time.monotonic() < deadline
    for w in watches:
        w.close()


def test_smuggling(server):
    """What two readers could read differently is refused, and nothing behind it is taken for a request."""
    head = f"POST {CM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    for framing in ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 4\r\nContent-Length: 40\r\n",
                    "Content-Length: +4\r\n", "Content-Length: 4, 4\r\n", "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding : chunked\r\n",
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "X: a\nTransfer-Encoding: chunked\r\n", " folded: x\r\n"):
        c = open_tls(server, 5)
        c.sendall((head + framing + "\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").encode())
        got = b""
        try:
            while piece := c.recv(4096):
                got += piece
        except OSError:
            pass
        c.close()
        assert got.count(b"HTTP/1.1 ") == 1 and got.split(b" ")[1] in (b"400", b"501"), (framing, got[:200])
