"""Helm 3 and 4, which `make chart` builds: each test is run by either."""
import os
import pathlib

import pytest

from suite import ROOT, run

PEERS = pathlib.Path(os.environ.get("PEERS", ROOT / "build/peers"))
HELMS = ["helm-v3", "helm-v4"]
if not all((PEERS / h).exists() for h in HELMS):
    pytest.exit(f"no {', '.join(HELMS)} in {PEERS}: make chart builds them", returncode=2)


@pytest.fixture(params=HELMS)
def helm(request, tmp_path):
    env = dict(os.environ, HOME=str(tmp_path))

    def call(*argv, **kw):
        kubeconfig = kw.pop("kubeconfig", None)
        return run(call.program, *argv, env=dict(env, KUBECONFIG=kubeconfig) if kubeconfig else env, **kw)
    call.program = PEERS / request.param
    return call
