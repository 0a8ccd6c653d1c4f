"""The corpus of tests/conformance, against what a real kube-apiserver answered when it was last asked."""
import pytest

from corpus.cases import all_cases
from corpus.replay import plain, play, prepare, recorded

ANSWERS = recorded()


@pytest.fixture(scope="module")
def prepared(server):
    prepare(server)
    return server


@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.what.replace(" ", "-"))
def test_same_answer(prepared, case):
    assert case.what in ANSWERS, "not asked yet: CORPUS_RECORD=1 make conform"
    said = play(prepared, case)
    same = plain([outcome for outcome, _ in said]) == ANSWERS[case.what]
    told = "\n".join(f"{step}\n  real {r}\n  ours {o[0]} {o[1]}" for step, r, o in zip(case.steps, ANSWERS[case.what], said))
    assert same != bool(case.differs), told if not case.differs else f"it does not differ any more: {case.differs}\n{told}"
