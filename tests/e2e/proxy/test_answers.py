"""The filter fairlead.filters.http.answer: cookies and redirects of endpoints in the client's terms, the rate of a body, routes that no log tells of.
And the time an endpoint may be quiet, which is not that of a client that still sends."""
import pytest
from http2_client import Http2
from test_filters import ROUTER, Stage, refused

ANSWER = "fairlead.filters.http.answer"


def config(**fields):
    return {"@type": "type.fairlead.dev/fairlead.filters.http.v1.Answer", **fields}


def answer(**fields):
    return {"name": ANSWER, "typed_config": config(**fields)}


def pair(before, after):
    return {"from": before, "to": after}


@pytest.fixture
def stage(tmp_path, backend):
    made = []

    def make(*filters, **more):
        made.append(Stage(tmp_path, backend.port, list(filters), **more))
        return made[0]

    yield make
    backend.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


def cookies(s, backend, *given):
    backend.script = ["200 " + "\r\n".join("Set-Cookie: " + c for c in given)]
    return s.ask("/next")[1]["set-cookie"]


@pytest.mark.parametrize("given,want", [
    ("a=1; Domain=old.test; Path=/app/x; HttpOnly", "a=1; Domain=new.test; Path=/x; HttpOnly"),
    ("a=1;path=/app;domain=.OLD.test", "a=1;path=;domain=new.test"),
    ("a=1; Path = /app/", "a=1; Path = /"),
    ("a=1; Domain=sub.old.test; Path=/other/app", "a=1; Domain=sub.old.test; Path=/other/app"),
    ("path=/app; domainx=old.test", "path=/app; domainx=old.test"),
    ("a=/app; Secure", "a=/app; Secure"),
    ("a=1; Path; Domain=; ;", "a=1; Path; Domain=; ;"),
    ("a=1; Domain=old.test; Domain=old.test; Path=/app/b", "a=1; Domain=new.test; Domain=new.test; Path=/b"),
])
def test_cookies(stage, backend, given, want):
    s = stage(answer(cookie_domain=pair("old.test", "new.test"), cookie_path=pair("/app", "")))
    assert cookies(s, backend, given) == want
    assert cookies(s, backend, "b=2", given) == "b=2, " + want


@pytest.mark.parametrize("field,given,want", [
    ("location", "http://old.test/a?b=c", "https://new.test/n/a?b=c"),
    ("location", "https://old.test/a", "https://old.test/a"),
    ("location", "/x?to=http://old.test/", "/x?to=http://old.test/"),
    ("location", "http://old.test/", "https://new.test/n/"),
    ("refresh", "5; URL=http://old.test/a", "5; URL=https://new.test/n/a"),
    ("refresh", "5", "5"),
])
def test_redirects_of_endpoints(stage, backend, field, given, want):
    s = stage(answer(redirect=pair("http://old.test/", "https://new.test/n/")))
    backend.script = [f"302 {field.title()}: {given}"]
    assert s.ask("/next")[1][field] == want


def test_redirects_of_our_own(stage, backend):
    """What endpoints say is rewritten, what we say is not; ours may be without a host."""
    to = {"redirect": {"host_redirect": "old.test", "path_redirect": "/a?b"}}
    s = stage(answer(redirect=pair("http://old.test/", "http://new.test/")), routes=[
        {"match": {"prefix": "/own"}, **to},
        {"match": {"prefix": "/relative"}, **to, "typed_per_filter_config": {ANSWER: config(relative=True)}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    assert [s.ask(p)[1]["location"] for p in ("/own", "/relative")] == ["http://old.test/a?b", "/a?b"]
    backend.script = ["302 Location: http://old.test/x"]
    assert s.ask("/next")[1]["location"] == "http://new.test/x"


def test_routes_without_a_log(stage, backend):
    quiet = {ANSWER: config(unlogged=True)}
    s = stage(answer(), routes=[{"match": {"prefix": "/quiet"}, "route": {"cluster": "c"}, "typed_per_filter_config": quiet},
                                {"match": {"prefix": "/none"}, "direct_response": {"status": 404}, "typed_per_filter_config": quiet},
                                {"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    assert [s.ask(p)[0] for p in ("/quiet", "/none", "/size/1", "/quiet")] == [200, 404, 200, 200]
    s.proxy.stop()  # and all lines are out
    assert len(s.lines(1)) == 1


def test_an_answer_that_goes_slowly(stage, backend):
    """100,000 bytes at 1,024 a second take more than a minute and a half: what has come is not all, and more comes."""
    s = stage(answer(bytes_per_second=1024))
    c = s.client()
    c.send("GET /size/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert c.reader.until(b"\r\n\r\n")
    c.reader.exactly(1)
    for _ in range(20):
        assert s.ask("/next")[0] == 200  # others do not wait
    c.reader.exactly(600)
    assert len(c.reader.buffer) < 20000
    c.close()
    s.lines(21)


def test_what_goes_before_the_limit(stage, backend):
    """50,000 bytes would take most of a minute."""
    s = stage(answer(bytes_per_second=1024, bytes_before=50000))
    c = s.client()
    c.send("GET /size/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert c.reader.until(b"\r\n\r\n") and c.reader.exactly(50000) == b"x" * 50000
    assert len(c.reader.buffer) < 20000
    c.close()


@pytest.mark.parametrize("rate", [300_000, 5_000_000, 1 << 45])
def test_nothing_is_lost(stage, backend, rate):
    s = stage(answer(bytes_per_second=rate))
    c = s.client()
    for size in (0, 1, 200_000, 400_000):
        assert c.ask(f"GET /size/{size} HTTP/1.1\r\nHost: a\r\n\r\n")[2] == b"x" * size
    status, fields, body = c.ask("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body, fields["trailer:x-sum"]) == (200, b"abcdef", "6")
    c.close()


def test_trailers_behind_what_is_held(stage, backend):
    s = stage(answer(bytes_per_second=1))
    c = s.client()
    status, fields, body = c.ask("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body, fields["trailer:x-sum"]) == (200, b"abcdef", "6")
    c.close()


def test_a_rate_of_one_byte_a_second(stage, backend):
    s = stage(answer(bytes_per_second=1))
    assert s.ask("/size/3")[2] == b"xxx"


def test_what_is_no_rule(tmp_path):
    assert "from must be set" in refused(tmp_path, [answer(redirect=pair("", "x")), ROUTER])
    assert "from must be set" in refused(tmp_path, [answer(cookie_path=pair("/", "/;Domain=x")), ROUTER])


def test_an_upload_that_takes_long(stage, backend):
    """The endpoint's time runs when it has the whole request."""
    s = stage(route={"retry_policy": {"retry_on": "connect-failure", "per_try_idle_timeout": "0.3s", "num_retries": 0}})
    c = s.client()
    c.send("POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    backend.script = ["wait", "wait"]
    assert [s.ask("/next")[0] for _ in range(2)] == [504, 504]  # twice its time has passed
    c.send("b")
    assert c.answer()[0] == 200
    c.close()


@pytest.mark.parametrize("rate", [20_000_000, 1 << 40])
def test_a_client_that_reads_late(stage, backend, rate):
    """What it has not taken is not sent, and what is held goes when it reads."""
    s = stage(answer(bytes_per_second=rate))
    c = s.client()
    c.send("GET /size/8000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(20):
        assert s.ask("/next")[0] == 200
    assert c.answer()[2] == b"x" * 8_000_000
    c.close()


def test_over_http2(stage, backend):
    """Each stream has a rate of its own: what goes slowly does not hold up another."""
    s = stage(answer(), routes=[{"match": {"path": "/size/100000"}, "route": {"cluster": "c"}, "typed_per_filter_config": {ANSWER: config(bytes_per_second=1024)}},
                                {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": {ANSWER: config(bytes_per_second=300_000)}}])
    c = Http2(s.port)
    slow = c.open("GET", "/size/100000")
    got = c.ask("GET", "/size/200000")
    assert (got.status, got.body) == (200, b"x" * 200_000)
    assert len(c.streams[slow].body) < 20000 and not c.streams[slow].over()
    assert c.ask("GET", "/chunked").body == b"abcdef"
    c.sock.close()
