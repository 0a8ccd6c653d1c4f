"""The filter fairlead.filters.http.client_limit: requests of one address, at a time and as time goes by."""
import pytest
from suite import wait_until
from test_filters import Stage

LIMIT = "fairlead.filters.http.client_limit"


def config(**fields):
    return {"@type": "type.fairlead.dev/fairlead.filters.http.v1.ClientLimit", "key": "k", "status": 503, **fields}


def limit(**fields):
    return {"name": LIMIT, "typed_config": config(**fields)}


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


def rate(requests, seconds, burst):
    return {"requests": requests, "seconds": seconds, "burst": burst}


def test_a_burst_over_two_workers(stage, backend):
    """What is admitted is the limit, whichever worker a connection comes to."""
    s = stage(limit(rates=[rate(1, 3600, 11)]), workers=2)
    assert sorted(s.ask()[0] for _ in range(40)) == [200] * 11 + [503] * 29
    assert len(backend.requests) == 11
    assert s.lines(40)[-1] == "503 RL local_rate_limited"


def test_requests_at_a_time(stage, backend):
    s = stage(limit(concurrent_requests=2), workers=2)
    held = [s.client() for _ in range(2)]
    for c in held:
        c.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_until("two are under way", lambda: len(backend.requests) == 2)
    assert s.ask()[0] == 503
    held[0].close()  # who goes counts no more
    wait_until("one more may", lambda: s.ask()[0] == 200)
    backend.release.set()
    assert held[1].answer()[0] == 200
    assert [s.ask()[0] for _ in range(4)] == [200] * 4
    held[1].close()


def test_routes_of_one_key_count_together(stage):
    one, other = config(rates=[rate(1, 3600, 2)]), config(rates=[rate(1, 3600, 2)], key="else")
    s = stage(limit(), routes=[{"match": {"prefix": p}, "route": {"cluster": "c"}, "typed_per_filter_config": {LIMIT: c}} for p, c in
                               (("/a", one), ("/b", one), ("/c", other))] + [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    assert [s.ask(p)[0] for p in ("/a", "/b", "/a", "/b", "/c", "/c", "/c", "/d", "/d")] == [200, 200, 503, 503, 200, 200, 503, 200, 200]


def test_who_is_exempt(stage):
    s = stage(limit(rates=[rate(1, 3600, 1)], exempt=[{"address_prefix": "127.0.0.0", "prefix_len": 8}]))
    assert [s.ask()[0] for _ in range(5)] == [200] * 5
