import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from cluster import Cluster  # noqa: E402

if os.geteuid() != 0:
    pytest.exit("a cluster needs root", returncode=2)


@pytest.fixture(scope="session")
def cluster():
    c = Cluster()
    try:
        yield c.up()
    finally:
        if os.environ.get("KEEP"):
            input(f"\nthe cluster stands in {c.folder}: nsenter -t {c.nodes[0].pid} -a; KUBECONFIG={c.kubeconfig}; Enter ends it\n")
        c.down()
