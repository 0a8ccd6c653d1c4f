"""Access logs: as JSON, only for some requests, from a format in a file; Istio's default line."""
import datetime
import json
import re
import time

import pytest
from conftest import Client, Proxy
from listeners import HCM, ROUTER, TYPE, address, chain, cluster, http, tcp
from suite import BIN, free_ports, run, wait_until

FILE = TYPE + "access_loggers.file.v3.FileAccessLog"
# What istiod asks for (reference of the mesh, 4.2).
ISTIO = ('[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% '
         '%CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% '
         '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
         '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n')


def logger(path, filter=None, **form):
    return {"name": "f", "typed_config": {"@type": FILE, "path": str(path), **form}, **({"filter": filter} if filter else {})}


class Stage:
    def __init__(self, tmp_path, backend, logs, routes=None, clusters=None):
        self.port = free_ports(1)[0]
        self.tmp_path = tmp_path
        routes = routes or [{"match": {"prefix": "/hi"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}},
                            {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}}, {"name": "named", "match": {"prefix": "/"}, "route": {"cluster": "c"}}]
        self.dead = free_ports(1)[0]
        hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER], "access_log": logs, "route_config": {"virtual_hosts": [
            {"name": "v", "domains": ["a.test", "example.test"], "routes": routes}]}}
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps({"static_resources": {"clusters": [cluster(backend.port, "c"), cluster(self.dead, "dead")], "listeners": [
            {"name": "l", "address": address(self.port), "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}]}}))
        self.proxy = Proxy(tmp_path, "-c", path, "--drain", "2s", port=self.port)

    def ask(self, path, host="a.test", **fields):
        c = Client(self.port)
        lines = "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in fields.items())
        try:
            return c.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")[0]
        finally:
            c.close()

    def lines(self, name):
        """Of a log, once the proxy has ended: all that there are."""
        if self.proxy.process.poll() is None:
            self.proxy.stop()
        return (self.tmp_path / name).read_text().splitlines()


@pytest.fixture
def stage(tmp_path, backend):
    made = []

    def make(logs, **more):
        made.append(Stage(tmp_path, backend, logs, **more))
        return made[-1]
    yield make
    backend.release.set()
    for s in made:
        if s.proxy.process.poll() is None:
            s.proxy.stop()


def test_lines_as_json(stage, tmp_path, backend):
    form = {"code": "%RESPONSE_CODE%", "took": "%DURATION%", "text": "%REQ(:METHOD)% %REQ(:PATH)%", "none": "%REQ(X-NONE)%", "answer": "%RESP(X-STEP)%",
            "nested": {"list": [1, "%BYTES_SENT%", "%ROUTE_NAME%"], "yes": True}, "odd": "%REQ(X-ODD)%", "port": "%DOWNSTREAM_REMOTE_PORT%"}
    s = stage([logger(tmp_path / "typed", log_format={"json_format": form}), logger(tmp_path / "few", log_format={"json_format": form, "omit_empty_values": True}),
               logger(tmp_path / "texts", json_format={"code": "%RESPONSE_CODE%", "none": "%REQ(X-NONE)%"}), logger(tmp_path / "old", typed_json_format={"code": "%RESPONSE_CODE%"})])
    backend.script = [503]
    assert s.ask("/next", x_odd='q"\\\té') == 503
    assert s.ask("/hi") == 200
    first, second = (json.loads(line) for line in s.lines("typed"))
    assert isinstance(first.pop("took"), int) and 0 < first.pop("port") < 65536
    assert first == {"code": 503, "text": "GET /next", "none": None, "answer": "1", "nested": {"list": [1, 4, "named"], "yes": True}, "odd": first["odd"]}
    assert first["odd"].startswith('q"\\\t')
    assert second["nested"]["list"] == [1, 2, None] and second["answer"] is None
    assert list(json.loads(s.lines("typed")[0])) == sorted(form), "in the order of names"
    few = [json.loads(line) for line in s.lines("few")]
    assert "none" not in few[0] and "answer" not in few[1] and few[1]["nested"]["list"] == [1, 2]
    assert [json.loads(line) for line in s.lines("texts")] == [{"code": "503", "none": "-"}, {"code": "200", "none": "-"}]
    assert [json.loads(line) for line in s.lines("old")] == [{"code": 503}, {"code": 200}]


def test_the_line_of_the_mesh(stage, tmp_path, backend):
    s = stage([logger(tmp_path / "log", log_format={"text_format": ISTIO})])
    assert s.ask("/size/3", user_agent="ua") == 200 and s.ask("/dead") == 503 and s.ask("/hi") == 200
    good, dead, own = s.lines("log")
    assert re.fullmatch(rf'\[\S+\] "GET /size/3 HTTP/1.1" 200 - via_upstream - "-" 0 3 \d+ \d+ "-" "ua" "\S+" "a.test" "127.0.0.1:{backend.port}" c 127.0.0.1:\d+ '
                        rf'127.0.0.1:{s.port} 127.0.0.1:\d+ - named', good), good
    assert re.search(r'503 UF \S+ - "[^"-][^"]*" 0 \d+', dead) and f'"127.0.0.1:{s.dead}" dead - ' in dead, dead
    assert "200 - direct_response - " in own and '"a.test" "-" - - ' in own, own


def test_formats_in_files(stage, tmp_path, backend):
    (tmp_path / "format").write_text("%RESPONSE_CODE%|%REQ(X-NONE)%|\n")
    s = stage([logger(tmp_path / "log", log_format={"text_format_source": {"filename": str(tmp_path / "format")}}),
               logger(tmp_path / "few", log_format={"text_format_source": {"inline_string": "%RESPONSE_CODE%|%REQ(X-NONE)%|\n"}, "omit_empty_values": True})])
    assert s.ask("/hi") == 200
    assert s.lines("log") == ["200|-|"] and s.lines("few") == ["200||"]


def test_times_in_any_form(stage, tmp_path):
    s = stage([logger(tmp_path / "log", log_format={"text_format": "%START_TIME%|%START_TIME(%Y/%m/%dT%H:%M:%S.%3f)%|%START_TIME(%s.%6f %f %1f%%)%|\n"})])
    before = time.time()
    assert s.ask("/hi") == 200
    whole, form, epoch, _ = s.lines("log")[0].split("|")
    seconds, micros, tenth = epoch.split(" ")
    assert before - 1 < float(seconds) < time.time() + 1 and seconds.split(".")[1] == micros and tenth == micros[0] + "%"
    when = datetime.datetime.fromtimestamp(int(seconds.split(".")[0]), datetime.timezone.utc)
    assert form == when.strftime("%Y/%m/%dT%H:%M:%S.") + micros[:3] and whole == when.strftime("%Y-%m-%dT%H:%M:%S.") + micros[:3] + "Z"


def compare(op, value):
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "k"}}}


def test_filters(stage, tmp_path, backend):
    """Each log has the lines of the requests that its filter lets through."""
    def header(name, **how):
        return {"header_filter": {"header": {"name": name, **how}}}
    bad = {"status_code_filter": compare("GE", 500)}
    filters = {
        "bad": bad, "ok": {"status_code_filter": compare("EQ", 200)}, "notok": {"status_code_filter": compare("NE", 200)}, "low": {"status_code_filter": compare("LE", 299)},
        "slow": {"duration_filter": compare("GE", 10000)}, "quick": {"duration_filter": compare("LE", 10000)}, "all": {"not_health_check_filter": {}},
        "none": {"runtime_filter": {"runtime_key": "r", "percent_sampled": {"numerator": 0}}},
        "every": {"runtime_filter": {"runtime_key": "r", "percent_sampled": {"numerator": 1000000, "denominator": "MILLION"}, "use_independent_randomness": True}},
        "and": {"and_filter": {"filters": [bad, header("x-a", present_match=True)]}}, "or": {"or_filter": {"filters": [bad, header("x-a", present_match=True)]}},
        "head": header(":path", string_match={"prefix": "/h"}), "flag": {"response_flag_filter": {"flags": ["NR", "UF"]}}, "flags": {"response_flag_filter": {}},
        "nr": {"response_flag_filter": {"flags": ["NR"]}}, "traced": {"traceable_filter": {}},
    }
    s = stage([logger(tmp_path / name, f, log_format={"text_format": "%REQ(:PATH)%\n"}) for name, f in filters.items()])
    asked = [("/hi", {}), ("/dead", {}), ("/dead?a", {"x_a": "1"}), ("/none", {"host": "b.test"}), ("/hi?a", {"x_a": "1"})]
    assert [s.ask(path, **more) for path, more in asked] == [200, 503, 503, 404, 200]
    paths = [path for path, _ in asked]
    want = {"bad": ["/dead", "/dead?a"], "ok": ["/hi", "/hi?a"], "notok": ["/dead", "/dead?a", "/none"], "low": ["/hi", "/hi?a"], "slow": [], "quick": paths, "all": paths, "none": [],
            "every": paths, "and": ["/dead?a"], "or": ["/dead", "/dead?a", "/hi?a"], "head": ["/hi", "/hi?a"], "flag": ["/dead", "/dead?a", "/none"], "flags": ["/dead", "/dead?a", "/none"],
            "nr": ["/none"], "traced": []}
    assert {name: s.lines(name) for name in filters} == want


def test_samples_are_the_same_everywhere(stage, tmp_path, backend):
    """Two logs that take a half take the same half, by the id of a request."""
    half = {"runtime_filter": {"runtime_key": "r", "percent_sampled": {"numerator": 50}}}
    s = stage([logger(tmp_path / n, half, log_format={"text_format": "%REQ(X-REQUEST-ID)%\n"}) for n in ("a", "b")])
    for i in range(200):
        assert s.ask("/hi", x_request_id=f"id-{i}") == 200
    a = s.lines("a")
    assert a == s.lines("b") and 60 < len(a) < 140


def test_the_status_of_grpc(stage, tmp_path, backend):
    unavailable = {"grpc_status_filter": {"statuses": ["UNAVAILABLE"]}}
    others = {"grpc_status_filter": {"statuses": ["UNAVAILABLE", "UNKNOWN"], "exclude": True}}
    s = stage([logger(tmp_path / "log", log_format={"json_format": {"n": "%GRPC_STATUS_NUMBER%", "w": "%GRPC_STATUS%"}}),
               logger(tmp_path / "some", unavailable, log_format={"text_format": "%GRPC_STATUS%\n"}), logger(tmp_path / "others", others, log_format={"text_format": "%GRPC_STATUS%\n"})])
    backend.script = ["200 grpc-status: 14", "200 grpc-status: 7", 403, "200 grpc-status: x"]
    for status in (200, 200, 403, 200):
        assert s.ask("/next") == status
    assert [json.loads(line) for line in s.lines("log")] == [{"n": 14, "w": "Unavailable"}, {"n": 7, "w": "PermissionDenied"}, {"n": 7, "w": "PermissionDenied"}, {"n": 2, "w": "Unknown"}]
    assert s.lines("some") == ["Unavailable"] and s.lines("others") == ["PermissionDenied"] * 2


def test_connections_are_filtered_too(tmp_path, backend):
    port, dead = free_ports(2)
    path = tmp_path / "bootstrap.json"
    logs = [logger(tmp_path / "uf", {"response_flag_filter": {"flags": ["UF"]}}, log_format={"json_format": {"flags": "%RESPONSE_FLAGS%", "got": "%BYTES_RECEIVED%", "code": "%RESPONSE_CODE%"}}),
            logger(tmp_path / "head", {"header_filter": {"header": {"name": "x", "present_match": True}}})]
    path.write_text(json.dumps({"static_resources": {"clusters": [cluster(dead, "c")], "listeners": [
        {"name": "l", "address": address(port), "filter_chains": [chain(tcp("c", access_log=logs))]}]}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    try:
        assert Client(port).ended()
    except ConnectionResetError:  # before connecting had been told
        pass
    wait_until("the line is there", lambda: (tmp_path / "uf").read_text())
    proxy.stop()
    assert {json.dumps(json.loads(line), sort_keys=True) for line in (tmp_path / "uf").read_text().splitlines()} == {'{"code": 0, "flags": "UF,URX", "got": 0}'}
    assert (tmp_path / "head").read_text() == "", "a connection has no head"


@pytest.mark.parametrize("form,filter,path,why", [
    ({"log_format": {"json_format": {"a": {"b": "%NOPE%"}}}}, None, "access_log[0]", "b: unknown operator %NOPE%"),
    ({"log_format": {"text_format_source": {"filename": "/no/such"}}}, None, "access_log[0]", "/no/such"),
    ({"log_format": {}}, None, "access_log[0]", "must be set"),
    ({}, {"and_filter": {"filters": [{"not_health_check_filter": {}}]}}, "access_log[0].filter", "at least"),
    ({}, {"metadata_filter": {}}, "access_log[0].filter.metadata_filter", "not implemented"),
    ({}, {"status_code_filter": {}}, "access_log[0].filter", "comparison"),
])
def test_refused(tmp_path, form, filter, path, why):
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"static_resources": {"listeners": [{"name": "l", "address": address(1), "filter_chains": [
        chain(http("hi", access_log=[logger(tmp_path / "log", filter, **form)]))]}]}}))
    done = run(BIN / "fairlead-proxy", "--validate", "-c", file, check=False)
    assert done.returncode == 64 and path in done.stderr and why in done.stderr, done.stderr
