"""A table of questions, answered as CoreDNS answered them (`make conform` asks a real one again)."""
import pathlib
import struct

import pytest

import dns_questions
from conftest import read_message
from dns_wire import Message, query
from suite import wait_until

JUDGE = dns_questions.read_answers(pathlib.Path(__file__).with_name("answers.txt"))


@pytest.fixture(scope="module")
def world(dns, api):
    dns.v6 = dns_questions.create_objects(api)
    wait_until("the last Service is known", lambda: dns.ask("ported.dns.svc.cluster.local").rcode == "NOERROR")
    return dns


@pytest.mark.parametrize("question", dns_questions.QUESTIONS, ids=dns_questions.title)
def test_answers_as_coredns_does(world, question):
    rrtype, name, options = question
    title = dns_questions.title(question)
    data = query(dns_questions.full(name), rrtype, **options)
    if rrtype == "AXFR":
        with world.connect() as s:
            s.sendall(struct.pack(">H", len(data)) + data)
            got = read_message(s)
    else:
        got = Message(world.udp(data))
    want = dns_questions.DIFFERS[title][1] if title in dns_questions.DIFFERS else JUDGE[title]
    assert [line.replace(world.v6, "V6") for line in got.lines()] == want


def test_what_differs_really_differs():
    for title, (_, lines) in dns_questions.DIFFERS.items():
        assert JUDGE[title] != lines, title
    assert len(JUDGE) >= 80 and set(JUDGE) == {dns_questions.title(q) for q in dns_questions.QUESTIONS}
