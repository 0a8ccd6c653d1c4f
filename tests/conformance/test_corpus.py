"""The corpus of requests, sent to a real kube-apiserver and to ours: status, reason and causes are the same, but where a case says why not.

Part of `make conform`. What the real one answers is kept in corpus/recorded.json, against which
tests/e2e/api/test_corpus.py holds ours everywhere; CORPUS_RECORD=1 writes it anew.
"""
import os

import pytest

from api_server import Server
from corpus.cases import all_cases
from corpus.replay import plain, play, prepare, record, recorded
from real_server import RealServer, need

CASES = all_cases()
RECORD = bool(os.environ.get("CORPUS_RECORD"))

need("kube-apiserver", "etcd-server")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    both = []
    try:
        for cls in (RealServer, Server):
            both.append(cls(tmp_path_factory.mktemp(cls.__name__)).start())
            prepare(both[-1])
        yield both
    finally:
        for s in both:
            s.stop()


@pytest.fixture(scope="module")
def answers(pair):
    """What the real server says now; written down at the end if that is asked for."""
    seen = {}
    yield seen
    if RECORD and len(seen) == len(CASES):
        record(pair[0].get("/version").json["gitVersion"], seen)


def test_there_are_enough():
    assert len(CASES) >= 200
    names = [c.what for c in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.what.replace(" ", "-"))
def test_same_answer(pair, answers, case):
    real, ours = (play(s, case) for s in pair)
    answers[case.what] = plain([r[0] for r in real])
    told = "\n".join(f"{step}\n  real {r[0]} {r[1]}\n  ours {o[0]} {o[1]}" for step, r, o in zip(case.steps, real, ours))
    same = [r[0] for r in real] == [o[0] for o in ours]
    if case.differs:
        assert not same, f"it does not differ any more: {case.differs}\n{told}"
    else:
        assert same, told
    assert RECORD or answers[case.what] == recorded().get(case.what), f"the real server answers otherwise than recorded (CORPUS_RECORD=1)\n{told}"
