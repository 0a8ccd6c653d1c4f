"""An API server of its own for each module, or as many as a test makes; a namespace of its own for each test."""
import pytest

from api_server import Server


@pytest.fixture
def make_server(tmp_path_factory):
    made = []

    def make(**kw):
        s = Server(tmp_path_factory.mktemp("apiserver"), **kw)
        made.append(s)
        return s.start()

    yield make
    for s in made:
        code = s.stop()
        assert code == 0, f"the API server ended with {code}; see {s.dir}/apiserver.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("apiserver")).start()
    yield s
    code = s.stop()
    assert code == 0, f"the API server ended with {code}; see {s.dir}/apiserver.log"


_counter = [0]


@pytest.fixture
def ns(server):
    """A fresh namespace."""
    _counter[0] += 1
    name = f"t{_counter[0]}"
    assert server.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    return name
