"""Debian packages: what lintian and systemd say of them, that they are the same each time, and that they can be installed, started, brought up to date, removed and purged in a root file system of their own. `make test-deb`."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from suite import BIN, ROOT, run, wait_until

sys.path.insert(0, str(ROOT / "tools"))
import elf  # noqa: E402

for tool, package in (("lintian", "lintian"), ("debootstrap", "debootstrap"), ("systemd-analyze", "systemd"), ("dpkg-deb", "dpkg")):
    if not shutil.which(tool):
        pytest.exit(f"{tool} is needed: apt-get install --no-install-recommends {package}", returncode=2)
if os.geteuid() != 0:
    pytest.exit("a root file system of its own needs root", returncode=2)
NAMES = ("fairlead", "fairlead-agent", "fairlead-control", "fairlead-proxy")
UNITS = NAMES[1:]
ENV = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")
CHROOT = pathlib.Path(os.environ.get("DEB_ROOT", BIN.parent / "deb-root"))


def make(output):
    run(sys.executable, ROOT / "tools/deb.py", BIN, output, env=ENV)
    return {p.name.split("_")[0]: p for p in sorted(output.glob("*.deb"))}


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    return make(tmp_path_factory.mktemp("debs"))


@pytest.fixture(scope="module")
def unpacked(debs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    for name, deb in debs.items():
        run("dpkg-deb", "-x", deb, folder / name)
    return folder


class Root:
    """A copy of a fresh Debian 12 over which the test may write; what runs in it has mounts and processes of its own."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        run("mount", "-t", "overlay", "-o", f"lowerdir={CHROOT},upperdir={folder}/upper,workdir={folder}/work", "overlay", folder / "root")
        self.root = folder / "root"

    def run(self, *argv, **kw):
        inside = 'set -e; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/tmp"; mount -t tmpfs tmpfs "$1/run"; mount --bind "$2" "$1/mnt"; root=$1; shift 2; exec chroot "$root" "$@"'
        return run("unshare", "--mount", "--pid", "--fork", "--propagation", "private", "sh", "-c", inside, "sh", self.root, self.debs, *argv, timeout=300,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"} | {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}, **kw)

    def files(self):
        """What lies there but for what apt and dpkg remember."""
        forgotten = re.compile(r"^(var/(cache|lib/(apt|dpkg|systemd/deb-systemd-helper))|var/log|etc/ld.so.cache|usr/lib/.*lib|usr/share/(doc|lintian|ca-certificates)|lib/.*lib)")
        found = set()
        for base, folders, names in os.walk(self.root):
            relative = os.path.relpath(base, self.root)
            found |= {os.path.normpath(os.path.join(relative, n)) for n in names}
        return {f for f in found if "fairlead" in f or not forgotten.match(f)}


@pytest.fixture(scope="module")
def root(debs, tmp_path_factory):
    run(ROOT / "tests/deb/root.sh", CHROOT, timeout=900)
    folder = tmp_path_factory.mktemp("root")
    run("mount", "-t", "tmpfs", "tmpfs", folder)  # an overlay cannot lie over another
    r = Root(folder)
    r.debs = next(iter(debs.values())).parent
    yield r
    run("umount", folder / "root")
    run("umount", folder)


def test_lintian_has_nothing_to_say(debs):
    assert run("lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning", *debs.values()) == ""


def test_the_same_bytes_each_time(debs, tmp_path):
    digest = lambda deb: hashlib.sha256(deb.read_bytes()).hexdigest()  # noqa: E731
    assert {n: digest(d) for n, d in make(tmp_path).items()} == {n: digest(d) for n, d in debs.items()}


def test_programs_are_hardened_and_stripped(unpacked):
    programs = sorted(unpacked.glob("*/usr/bin/*"))
    assert {p.name for p in programs} == {"fairlead", "fairlead-labd", "fairlead-echo", *UNITS}
    for program in programs:
        assert elf.read(program).lacks() == [] and "not stripped" not in run("file", program)


@pytest.mark.parametrize("name", UNITS)
def test_units_are_valid_and_shut_in(unpacked, name):
    unit = unpacked / name / f"lib/systemd/system/{name}.service"
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit, check=False)
    assert done.returncode == 0 and (level := float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout).group(1))) <= 2.0, done.stdout
    assert level > 0


def test_what_lintian_and_systemd_would_find(unpacked, debs, tmp_path):
    """The two tests above can fail: a unit without its words, a package without a licence."""
    unit = (unpacked / "fairlead-proxy/lib/systemd/system/fairlead-proxy.service").read_text()
    (tmp_path / "fairlead-proxy.service").write_text("\n".join(line for line in unit.splitlines() if not line.startswith(("Protect", "Restrict", "SystemCall", "DynamicUser", "Private"))))
    assert run("systemd-analyze", "security", "--offline=yes", "--threshold=20", tmp_path / "fairlead-proxy.service", check=False).returncode != 0
    run("dpkg-deb", "-R", debs["fairlead-proxy"], tmp_path / "p")
    (tmp_path / "p/usr/share/doc/fairlead-proxy/copyright").unlink()
    run("dpkg-deb", "--root-owner-group", "-b", tmp_path / "p", tmp_path / "p.deb")
    done = run("lintian", "--allow-root", "--fail-on", "error,warning", tmp_path / "p.deb", check=False)
    assert done.returncode != 0 and "no-copyright-file" in done.stdout


def test_installed_used_removed_purged(root):
    before = root.files()
    root.run("apt-get", "update", "-qq")
    root.run("sh", "-c", "apt-get install -y -qq --no-install-recommends /mnt/*.deb")
    assert root.run("dpkg", "--verify", *NAMES) == ""
    for unit in UNITS:
        assert (root.root / f"etc/systemd/system/multi-user.target.wants/{unit}.service").is_symlink(), "it starts with the machine"
        assert "0.1.0" in root.run(f"/usr/bin/{unit}", "--version")
        root.run("systemd-analyze", "verify", "--man=no", f"{unit}.service")
    assert "OK" in root.run("fairlead-proxy", "--validate", "-c", "/etc/fairlead/proxy.yaml")
    assert root.run("fairlead", "bug-report", "--machine-only", "--dry-run").startswith("machine/versions.json")
    assert "fairlead lab up" in root.run("sh", "-c", "zcat /usr/share/man/man1/fairlead.1.gz | sed 's/\\\\\\\\//g'").replace("\\", "")
    installed = root.files()

    conffile = root.root / "etc/default/fairlead-proxy"
    conffile.write_text("FLAGS=--concurrency=2\n")
    root.run("sh", "-c", "dpkg --force-confdef --force-confold -i /mnt/*.deb")
    assert conffile.read_text() == "FLAGS=--concurrency=2\n", "an upgrade keeps what its owner wrote"

    root.run("apt-get", "remove", "-y", "-qq", *NAMES)
    left = {f for f in installed & root.files() if "fairlead" in f and not f.startswith(("etc/systemd/system/", "var/lib/dpkg/", "var/lib/systemd/"))}
    assert left == {"etc/default/fairlead-agent", "etc/default/fairlead-control", "etc/default/fairlead-proxy", "etc/fairlead/proxy.yaml"}
    root.run("apt-get", "purge", "-y", "-qq", *NAMES)
    assert {f for f in root.files() - before if "fairlead" in f and not f.startswith("var/lib/dpkg/")} == set()


def test_the_proxy_serves_as_its_unit_runs_it(unpacked, tmp_path):
    """As far as that can be had without systemd: another user, no capability but one, no new privileges."""
    log = open(tmp_path / "log", "wb")
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set -all,+net_bind_service --inh-caps -all,+net_bind_service '
            '--ambient-caps -all,+net_bind_service --no-new-privs "$@"', "sh"]
    shutil.copytree(unpacked / "fairlead-proxy", "/tmp/fairlead-deb-proxy", dirs_exist_ok=True)
    try:
        p = subprocess.Popen([*argv, "/tmp/fairlead-deb-proxy/usr/bin/fairlead-proxy", "-c", "/tmp/fairlead-deb-proxy/etc/fairlead/proxy.yaml"], stdout=log, stderr=log)
        answer = wait_until("it answers", lambda: run("nsenter", "-t", p.pid, "-n", "curl", "-s", "-m", "2", "http://127.0.0.1:8080/", check=False).stdout)
        assert "no routes yet" in answer
        p.terminate()
        assert p.wait(20) == 0
    finally:
        shutil.rmtree("/tmp/fairlead-deb-proxy")


def test_the_agent_does_without_root(unpacked, tmp_path):
    """As its unit runs it: nobody, with CAP_NET_ADMIN; its table is there."""
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\nusers: [{name: u, user: {}}]\n")
    folder = pathlib.Path("/tmp/fairlead-deb-agent")
    shutil.copytree(unpacked / "fairlead-agent", folder, dirs_exist_ok=True)
    shutil.copy(tmp_path / "kubeconfig", folder / "kubeconfig")
    try:
        p = subprocess.Popen(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set -all,+net_admin --inh-caps -all,+net_admin --ambient-caps -all,+net_admin '
                              '--no-new-privs "$@"', "sh", folder / "usr/bin/fairlead-agent", "--kubeconfig", folder / "kubeconfig", "--cluster-cidr", "10.0.0.0/8"], stderr=subprocess.PIPE)
        try:
            wait_until("its table is there", lambda: "chain service" in run("nsenter", "-t", p.pid, "-n", "nft", "list", "table", "ip", "fairlead", check=False).stdout)
            assert "fairlead_agent" in wait_until("it tells", lambda: run("nsenter", "-t", p.pid, "-n", folder / "usr/bin/fairlead-agent", "request", "GET", "/metrics", check=False).stdout)
        finally:
            p.terminate()
            assert p.wait(20) == 0, p.stderr.read()
    finally:
        shutil.rmtree(folder)


def test_what_is_in_a_package_is_roots(debs):
    for deb in debs.values():
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=__import__("io").BytesIO(data)) as tar:
            for m in tar.getmembers():
                assert (m.uid, m.gid) == (0, 0) and not m.mode & 0o022 and m.mtime <= 1700000000, m.name
