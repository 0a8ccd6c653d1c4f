"""deploy/crds on a real kube-apiserver: tests/e2e/api/test_istio_crds.py, which holds ours to the same, with another server. Part of `make conform`."""
import pathlib
import sys

import pytest

from real_server import RealServer, need
from suite import ROOT

sys.path.append(str(pathlib.Path(ROOT) / "tests/e2e/api"))
import test_istio_crds as shared  # noqa: E402

need("kube-apiserver", "etcd-server")

defined = shared.defined
test_it_is_established_with_its_names = shared.test_it_is_established_with_its_names
test_good_objects_are_taken_as_they_are = shared.test_good_objects_are_taken_as_they_are
test_bad_objects_are_refused_with_the_field = shared.test_bad_objects_are_refused_with_the_field
test_fields_that_it_does_not_have_are_refused = shared.test_fields_that_it_does_not_have_are_refused
test_its_status_takes_conditions_and_what_istiod_adds = shared.test_its_status_takes_conditions_and_what_istiod_adds


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = RealServer(tmp_path_factory.mktemp("real"))
    try:
        yield s.start()
    finally:
        s.stop()


@pytest.fixture
def ns(server, request):
    name = "t" + "".join(c for c in request.node.name.lower() if c.isalnum())[-40:]
    assert server.post("/api/v1/namespaces", {"metadata": {"name": name}}).status in (201, 409)
    return name
