"""How the listener's own answers look: local_reply_config."""
import json

import pytest
from conftest import Client
from listeners import address, chain, cluster, http, log, start
from suite import BIN, free_ports, run, wait_until

GET = "GET {} HTTP/1.1\r\nHost: a.test\r\n{}\r\n"


def status(op, value):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "k"}}}}


def field(name):
    return {"header_filter": {"header": {"name": name, "present_match": True}}}


@pytest.fixture
def made(tmp_path, backend):
    started = []

    def begin(mappers=(), **more):
        port = free_ports(1)[0]
        listener = http(cluster="backend", access_log=log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_SENT%"),
                        local_reply_config={"mappers": list(mappers), **more})
        dead = free_ports(1)[0]
        listener["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][:0] = [
            {"match": {"path": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea"}}},
            {"match": {"path": "/dead"}, "route": {"cluster": "dead"}}, {"match": {"prefix": "/only", "headers": [{"name": "x", "present_match": True}]}, "route": {"cluster": "backend"}}]
        started.append(start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(listener)]}], [cluster(backend.port), cluster(dead, "dead")]))
        return Client(port)

    yield begin
    for proxy in started:
        proxy.stop()


def ask(client, path, *fields):
    return client.ask(GET.format(path, "".join(f + "\r\n" for f in fields)))


def test_the_first_that_takes_it(made, tmp_path):
    client = made([{"filter": {"and_filter": {"filters": [status("GE", 500), field("x-a")]}}, "status_code": 599, "body": {"inline_string": "both"}},
                   {"filter": {"response_flag_filter": {"flags": ["UF", "UO"]}}, "status_code": 502, "headers_to_add": [{"header": {"key": "x-why", "value": "%RESPONSE_CODE% %RESPONSE_FLAGS%"}}]},
                   {"filter": {"or_filter": {"filters": [status("EQ", 418), status("LE", 100)]}}, "body": {"inline_string": "coffee"}},
                   {"filter": status("GE", 400), "body": {"inline_string": "never"}}])
    assert ask(client, "/dead", "x-a: 1")[::2] == (599, b"both")
    wait_until("its line", lambda: (tmp_path / "log").read_text().splitlines()[-1:] == ["599 UF 4"])
    code, answer, body = ask(client, "/dead")
    assert (code, answer["x-why"]) == (502, "502 UF") and body.startswith(b"upstream connect error")
    assert ask(client, "/direct")[::2] == (418, b"coffee")


def test_one_form_for_all(made, backend):
    client = made([{"filter": status("EQ", 418), "body": {"inline_string": "<b>"}, "body_format_override": {"text_format": "<p>%LOCAL_REPLY_BODY%</p>", "content_type": "text/html; charset=UTF-8"}}],
                  body_format={"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:path=%REQ(:path)% %REQ(x-none)%\n"}})
    code, answer, body = ask(client, "/dead")
    assert code == 503 and answer["content-type"] == "text/plain" and body.endswith(b"remote connection failure:503:path=/dead -\n")
    code, answer, body = ask(client, "/direct")
    assert (code, answer["content-type"], body) == (418, "text/html; charset=UTF-8", b"<p><b></p>") and answer["content-length"] == str(len(body))
    backend.script = ["503"]
    assert ask(client, "/next")[::2] == (503, b"fail")  # an endpoint's own
    head = client.ask("HEAD /direct HTTP/1.1\r\nHost: a\r\n\r\n", head_only=True)
    assert head[1]["content-length"] == "10"


def test_grpc_gets_the_text_as_its_message(made):
    client = made(body_format={"text_format": "{%RESPONSE_CODE%}"})
    _, answer, body = ask(client, "/dead", "content-type: application/grpc")
    assert (answer["grpc-status"], answer["grpc-message"], body) == ("14", "{503}", b"")


def test_too_long_a_body_stays_as_it_was(made):
    client = made(body_format={"text_format": "%LOCAL_REPLY_BODY%" + "x" * 70000})
    assert ask(client, "/direct")[::2] == (418, b"tea")


@pytest.mark.parametrize("config,words", [
    ({"mappers": [{}]}, "local_reply_config.mappers[0]"),
    ({"mappers": [{"filter": {"grpc_status_filter": {"statuses": ["OK"]}}}]}, "mappers[0].filter: grpc_status_filter is not implemented here"),
    ({"mappers": [{"filter": {"or_filter": {"filters": [status("EQ", 1)]}}}]}, "mappers[0].filter.or_filter.filters: must have at least 2 items"),
    ({"mappers": [{"filter": status("EQ", 1), "status_code": 700}]}, "mappers[0]"),
    ({"body_format": {"text_format": "%NOSUCH%"}}, "local_reply_config.body_format"),
])
def test_what_makes_no_sense_is_refused(tmp_path, config, words):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [{"address": address(1), "filter_chains": [chain(http("in", local_reply_config=config))]}]}}))
    got = run(BIN / "fairlead-proxy", "--validate", "-c", path, check=False)
    assert got.returncode and words in got.stderr, got.stderr
