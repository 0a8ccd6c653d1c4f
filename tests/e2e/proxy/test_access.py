"""The filter fairlead.filters.http.access: by address, by name and password, by what another server says, as ingress-nginx asks."""
import base64

import pytest
from suite import wait_until
from test_filters import ROUTER, Stage, refused

ACCESS = "fairlead.filters.http.access"
SHA = "joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="  # secret
BCRYPT = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"  # secret
APR1 = "eve:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"  # secret


def text(*pieces):
    return {"pieces": [{"variable": p[1:].upper()} if p.startswith("$") else {"literal": p} for p in pieces]}


def access(**fields):
    return {"name": ACCESS, "typed_config": {"@type": "type.fairlead.dev/fairlead.filters.http.v1.Access", **fields}}


def basic(*users, realm=""):
    return {"realm": realm, "users": "\n".join(users)}


def login(name, password="secret"):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def ask_auth(**more):
    return {"cluster": "auth", "host": text("auth.example"), "path": text("/next?x=", "$escaped_request_uri"), **more}


@pytest.fixture
def stage(tmp_path, backend, auth):
    made = []

    def make(workers=1, **fields):
        made.append(Stage(tmp_path, backend.port, [access(**fields)], clusters={"auth": auth.port}, workers=workers))
        return made[0]

    yield make
    auth.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


# ---- names and passwords ----

@pytest.mark.parametrize("user,name", [(SHA, "joe"), (BCRYPT, "ann"), (APR1, "eve")])
def test_who_has_the_password(stage, backend, user, name):
    s = stage(basic=basic(user, realm="a b"))
    assert s.ask(authorization=login(name))[0] == 200
    assert s.ask(authorization=login(name))[0] == 200  # it is remembered
    assert [r.get("authorization") for r in backend.requests] == [None, None]
    for given in ({}, {"authorization": login(name, "wrong")}, {"authorization": login("nobody")}, {"authorization": "Bearer x"},
                  {"authorization": "Basic !"}, {"authorization": "Basic " + base64.b64encode(b"joe").decode()}, {"authorization": login(name, "")}):
        status, fields, _ = s.ask(**given)
        assert (status, fields["www-authenticate"]) == (401, 'Basic realm="a b"')
    assert len(backend.requests) == 2
    assert s.lines(9)[2] == "401 - invalid_credential_for_basic_auth"


@pytest.mark.parametrize("user,name", [(SHA, "joe"), (BCRYPT, "ann")])
def test_another_who_has_the_password(stage, backend, user, name):
    """Who is unknown is checked against somebody's hash, so that it takes as long; that makes nobody of him."""
    s = stage(basic=basic(user))
    assert [s.ask(authorization=login(n))[0] for n in ("nobody", "nobody", name, "nobody")] == [401, 401, 200, 401] and len(backend.requests) == 1


def test_nobody_is_let_in_where_there_are_no_users(stage, backend):
    s = stage(basic=basic("# none"))
    assert s.ask(authorization=login("joe"))[0] == 401 and backend.requests == []


def test_many_who_log_in_at_once(stage, backend):
    """Both workers have one thread for them; nothing that needs no password waits."""
    s = stage(workers=2, basic=basic(BCRYPT))
    clients = [s.client() for _ in range(12)]
    for i, c in enumerate(clients):
        c.send(f"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {login('ann', 'secret' if i % 2 else f'wrong-{i}')}\r\n\r\n")
    assert [c.answer()[0] for c in clients] == [401, 200] * 6
    for c in clients:
        c.close()


def test_a_client_that_goes_while_its_password_is_checked(stage, backend):
    s = stage(basic=basic(BCRYPT))
    for i in range(20):
        c = s.client()
        c.send(f"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {login('ann', str(i))}\r\n\r\n")
        c.close()
    assert s.ask(authorization=login("ann"))[0] == 200


def test_what_is_no_user(tmp_path):
    said = refused(tmp_path, [access(basic=basic(SHA, "x:$2y$14$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a")), ROUTER])
    assert "basic.users: line 2: its bcrypt cost is above 12" in said and "abcdef" not in said


# ---- another server ----

def test_what_the_server_is_asked(stage, backend, auth):
    s = stage(request=ask_auth(set_headers=[{"name": "X-Own", "value": text("v")}]))
    status, _, _ = s.ask("/p?q=1", "POST", "body", authorization="a", cookie="c", x_original_url="forged", x_own="forged", x_sent_from="forged")
    assert status == 200
    got = auth.requests[0]
    assert (got.method, got.target, got.body) == ("GET", "/next?x=%2Fp%3Fq%3D1", b"")
    assert [got.get(n) for n in ("host", "authorization", "cookie", "x-original-url", "x-original-method", "x-sent-from", "x-auth-request-redirect", "x-own",
                                 "x-real-ip")] == ["auth.example", "a", "c", "http://a.test/p?q=1", "POST", "nginx-ingress-controller", "/p?q=1", "v", "127.0.0.1"]
    assert (backend.requests[0].method, backend.requests[0].body, backend.requests[0].get("x-sent-from")) == ("POST", b"body", "forged")


def test_what_the_server_says_goes_on(stage, backend, auth):
    s = stage(request=ask_auth(response_headers=["X-User", "X-Group"]))
    auth.script = ["202 X-User: bob\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Else: e"]
    c = s.client()
    c.send(b"GET /x HTTP/1.1\r\nHost: a\r\nX-User: forged\r\nX-Group: forged\r\n\r\n")
    status, fields, _ = c.answer()
    c.close()
    assert status == 200 and "x-else" not in fields
    assert [backend.requests[0].get(n) for n in ("x-user", "x-group", "x-else")] == ["bob", None, None]
    assert fields["set-cookie"] == "a=1, b=2"


@pytest.mark.parametrize("step,status", [("401 WWW-Authenticate: Bearer", 401), ("403 X-A: 1", 403), ("302 Location: x", 500), ("404 X-A: 1", 500), ("500 X-A: 1", 500), ("close", 500)])
def test_the_server_refuses(stage, backend, auth, step, status):
    s = stage(request=ask_auth())
    auth.script = [step]
    answer = s.ask()
    assert (answer[0], answer[1].get("x-a"), answer[1].get("location"), backend.requests) == (status, None, None, [])
    assert answer[1].get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_sign_in(stage, backend, auth):
    s = stage(request=ask_auth(sign_in=text("http://login.test/?rd=", "$scheme", "://", "$http_host", "$escaped_request_uri"), redirect=text("$scheme", "://", "$host", "$request_uri")))
    auth.script = ["401 Set-Cookie: s=1", "403 X-A: 1"]
    status, fields, _ = s.ask("/a?b=c")
    assert (status, fields["location"], fields["set-cookie"]) == (302, "http://login.test/?rd=http://a.test%2Fa%3Fb%3Dc", "s=1")
    assert auth.requests[0].get("x-auth-request-redirect") == "http://a.test/a?b=c"
    assert s.ask()[0] == 403


@pytest.mark.parametrize("always,cookie", [(False, None), (True, "c=1")])
def test_cookies_with_an_error(stage, backend, auth, always, cookie):
    s = stage(request=ask_auth(always_set_cookie=always))
    auth.script = ["200 Set-Cookie: c=1"]
    backend.status = 404
    status, fields, _ = s.ask("/x")
    assert (status, fields.get("set-cookie")) == (404, cookie)


@pytest.mark.parametrize("more", [{"cluster": "no-such"}, {"timeout": "0.05s"}])
def test_a_server_that_is_not_there(stage, backend, auth, more):
    s = stage(request=ask_auth(**more))
    auth.script = ["wait"]
    assert s.ask()[0] == 500 and backend.requests == []
    assert s.lines(1) == ["500 UAEX ext_authz_error"]


def test_a_client_does_not_take_out_what_the_server_says(stage, backend, auth):
    """Fields that Connection names go before ours come: the endpoint must not be left without the word of the server."""
    s = stage(request=ask_auth(response_headers=["X-User"]))
    auth.script = ["200 X-User: bob"]
    assert s.ask(connection="close, X-User, X-Gone", x_user="forged", x_gone="g")[0] == 200
    assert [backend.requests[0].get(n) for n in ("x-user", "x-gone")] == ["bob", None]
    assert [auth.requests[0].get(n) for n in ("x-user", "x-gone")] == [None, None]


# ---- all, or any ----

def cidr(a, n=32):
    return {"address_prefix": a, "prefix_len": n}


def test_name_and_server(stage, backend, auth):
    s = stage(basic=basic(SHA), request=ask_auth())
    assert s.ask()[0] == 401 and auth.requests == []
    auth.script = ["403 X-A: 1"]
    assert [s.ask(authorization=login("joe"))[0] for _ in range(2)] == [403, 200]
    assert auth.requests[0].get("authorization") == login("joe") and backend.requests[0].get("authorization") is None


def test_any_of_name_and_server(stage, backend, auth):
    s = stage(any=True, basic=basic(SHA), request=ask_auth())
    assert s.ask(authorization=login("joe"))[0] == 200 and auth.requests == []
    assert s.ask()[0] == 200 and len(auth.requests) == 1
    auth.script = ["403 X-A: 1", "500 X-A: 1"]
    status, fields, _ = s.ask()
    assert (status, fields["www-authenticate"]) == (401, 'Basic realm=""')
    assert s.ask()[0] == 500


@pytest.mark.parametrize("allow,deny,status", [(["127.0.0.1"], [], 200), (["192.0.2.1"], [], 401), ([], ["127.0.0.1"], 401), ([], ["192.0.2.1"], 401),
                                               (["127.0.0.1"], ["127.0.0.1"], 401)])
def test_any_of_address_and_name(stage, allow, deny, status):
    s = stage(any=True, basic=basic(SHA), allow=[cidr(a) for a in allow], deny=[cidr(a) for a in deny])
    assert s.ask()[0] == status and s.ask(authorization=login("joe"))[0] == 200


@pytest.mark.parametrize("more,given", [({"basic": basic(SHA)}, {"authorization": login("joe")}), ({"allow": [cidr("127.0.0.1")]}, {})])
def test_who_is_let_in_unasked_is_not_believed(stage, backend, auth, more, given):
    """What the server would say of a client is then nothing, not what the client says."""
    s = stage(any=True, request=ask_auth(response_headers=["X-User"]), **more)
    assert s.ask(x_user="forged", x_else="e", **given)[0] == 200
    assert auth.requests == [] and [backend.requests[0].get(n) for n in ("x-user", "x-else")] == [None, "e"]


@pytest.mark.parametrize("allow,deny,status", [(["127.0.0.1"], [], 200), (["192.0.2.1"], [], 403), ([], ["127.0.0.1"], 403), ([], ["192.0.2.1"], 200)])
def test_addresses_alone(stage, allow, deny, status):
    s = stage(any=True, allow=[cidr(a) for a in allow], deny=[cidr(a) for a in deny])
    assert s.ask()[0] == status


def test_a_client_that_goes_while_the_server_is_asked(stage, backend, auth):
    s = stage(request=ask_auth())
    auth.script = ["wait"]
    c = s.client()
    c.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until("the server is asked", lambda: auth.requests)
    c.close()
    auth.release.set()
    assert s.ask()[0] == 200


# ---- what is remembered ----

def cache(*keys, statuses=((200, 60), (202, 60), (401, 60)), **more):
    return {"keys": [{"kind": k.upper(), "name": n} for k, n in keys], "statuses": [{"status": s, "seconds": t} for s, t in statuses], "scope": "r", **more}


def test_an_answer_is_remembered(stage, backend, auth):
    s = stage(request=ask_auth(response_headers=["X-User"], cache=cache(("header", "authorization"))))
    auth.script = ["202 X-User: bob", "401 WWW-Authenticate: Bearer", "202 X-User: eve"]
    assert [s.ask(authorization=a)[0] for a in ("b", "b", "x", "x", "e", "b")] == [200, 200, 401, 401, 200, 200]
    assert [r.get("x-user") for r in backend.requests] == ["bob", "bob", "eve", "bob"] and len(auth.requests) == 3
    assert s.ask(authorization="x", x_user="forged")[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key,one,other", [
    (("cookie", "s"), {"cookie": "s=1"}, {"cookie": "s=2"}),
    (("query", "q"), {"path": "/x?q=1"}, {"path": "/x?q=2"}),
    (("uri", ""), {"path": "/x?a"}, {"path": "/x?b"}),
    (("path", ""), {"path": "/x"}, {"path": "/y"}),
    (("header", "x-a"), {"x_a": "1"}, {}),
    # whoever may come in opens the door for nobody else: the server may go by another one of the name
    (("cookie", "s"), {"cookie": "s=; s=1"}, {}),
    (("query", "q"), {"path": "/x?q=&q=1"}, {"path": "/x?q="}),
    (("query", "q"), {"path": "/x?%71=1"}, {"path": "/x"}),
])
def test_by_what(stage, backend, auth, key, one, other):
    s = stage(request=ask_auth(path=text("/next"), cache=cache(key)))
    auth.script = ["200 X: 1", "401 X: 1"]
    assert [s.ask(**given)[0] for given in (one, other, one, other)] == [200, 401, 200, 401] and len(auth.requests) == 2


def test_keys_cannot_be_made_up(stage, backend, auth):
    """What ends where is no matter of what stands there."""
    s = stage(request=ask_auth(path=text("/next"), cache=cache(("header", "x-a"), ("header", "x-b"))))
    auth.script = ["200 X: 1"] + ["401 X: 1"] * 3
    given = ({"x_a": "a;6=b", "x_b": "c"}, {"x_a": "a", "x_b": "b;6=c"}, {"x_a": "a;6=b;6=c"}, {"x_a": "a;6=bc"})
    assert [s.ask(**g)[0] for g in given] == [200, 401, 401, 401] and len(auth.requests) == 4


@pytest.mark.parametrize("step", ["200 Set-Cookie: a=1", "200 Vary: Cookie", "200 Cache-Control: private", "200 Cache-Control: x, No-Store", "200 Cache-Control: max-age=0", "403 X: 1", "500 X: 1"])
def test_what_is_not_remembered(stage, backend, auth, step):
    s = stage(request=ask_auth(path=text("/next"), cache=cache(("header", "authorization"))))
    auth.script = [step] * 2
    assert len({s.ask(authorization="a")[0] for _ in range(2)}) == 1 and len(auth.requests) == 2


def test_it_is_forgotten(stage, backend, auth):
    s = stage(request=ask_auth(path=text("/next"), cache=cache(("header", "authorization"), statuses=((200, 1), (401, 60)))))
    auth.script = ["200 X: 1", "401 X: 1"]
    assert s.ask(authorization="a")[0] == 200
    wait_until("it is asked again", lambda: s.ask(authorization="a")[0] == 401)


def test_a_cache_without_keys(tmp_path):
    assert "1 to 16 keys" in refused(tmp_path, [access(request=ask_auth(cache=cache())), ROUTER])
