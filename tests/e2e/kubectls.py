"""The kubectl binaries of this machine: on PATH, in the places below, or named in FAIRLEAD_KUBECTLS (paths separated by colons)."""
import glob
import os
import re
import shutil
import subprocess

PLACES = ("/usr/lib/google-cloud-sdk/bin/kubectl.1.*", "/opt/kubectl-*/usr/bin/kubectl")


def minor_of(binary):
    out = subprocess.run([binary, "version", "--client", "-o", "json"], capture_output=True, text=True)
    m = re.search(r'"gitVersion":\s*"v1\.(\d+)', out.stdout)
    return int(m.group(1)) if m else None


def kubectls():
    """[(minor, path)], the oldest first; one of each minor version."""
    found = {}
    candidates = [p for p in os.environ.get("FAIRLEAD_KUBECTLS", "").split(":") if p]
    candidates += [p for place in PLACES for p in sorted(glob.glob(place))]
    candidates += [p for p in [shutil.which("kubectl")] if p]
    for binary in candidates:
        if os.access(binary, os.X_OK):
            minor = minor_of(binary)
            if minor and minor not in found:
                found[minor] = binary
    versions = sorted(found.items())
    # Under sanitizers one version is enough: what they look for is in the server, which hears much the same from all.
    return versions[-1:] if os.environ.get("FAIRLEAD_SANITIZED") else versions
