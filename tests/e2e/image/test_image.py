"""Images made without a daemon: what is in them, that they are the same each time, and that what is in them is enough to run and to serve."""
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from suite import BIN, ECHO, ROOT, SLOW, free_ports, run, wait_until

# Not the module: a suite of which nothing is collected has failed.
pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of its own needs root"),
              pytest.mark.skipif(bool(os.environ.get("FAIRLEAD_SANITIZED")), reason="sanitizers' libraries are in no image")]
sys.path.insert(0, str(ROOT / "tools"))
import elf  # noqa: E402

TOOL = ROOT / "tools/image.py"
PROGRAMS = {"agent": "0:0", "control": "65532:65532", "proxy": "65532:65532", "cni": "0:0"}
PLUGIN = ["--also", BIN / "fairlead-cni"]  # what fairlead-cni-node puts on its node
ENV = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")


def program_of(name):
    return "fairlead-cni-node" if name == "cni" else f"fairlead-{name}"


def make(program, output, *more, check=True, env=ENV, **kw):
    name = re.sub(".*fairlead-", "", str(program))
    return run(sys.executable, TOOL, program, "--name", f"localhost/fairlead/{name}", "--output", output, *more, check=check, env=env, **kw)


class Archive:
    """An OCI layout, each digest of it held against what it names."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            self.members = tar.getmembers()
            self.blobs = {m.name: tar.extractfile(m).read() for m in self.members if m.isfile()}
        assert json.loads(self.blobs["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
        self.index = json.loads(self.blobs["index.json"])
        self.described = self.index["manifests"][0]
        self.manifest = json.loads(self.blob(self.described))
        self.config = json.loads(self.blob(self.manifest["config"]))
        layer, = self.manifest["layers"]
        self.packed_bytes = layer["size"]
        self.layer = gzip.decompress(self.blob(layer))
        assert self.config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(self.layer).hexdigest()]

    def blob(self, descriptor):
        content = self.blobs["blobs/" + descriptor["digest"].replace(":", "/")]
        assert len(content) == descriptor["size"] and descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
        return content

    def files(self):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as tar:
            return {m.name: (m, tar.extractfile(m).read() if m.isfile() else None) for m in tar.getmembers()}

    def unpack(self, folder):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as tar:
            tar.extractall(folder)
        return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, user in PROGRAMS.items():
        make(BIN / program_of(name), folder / f"{name}.tar", "--name", f"localhost/fairlead/{name}", "--user", user, *(PLUGIN if name == "cni" else []))
    return {name: Archive(folder / f"{name}.tar") for name in PROGRAMS}, folder


@pytest.fixture(scope="module")
def roots(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("roots")
    return {name: archive.unpack(folder / name) for name, archive in images[0].items()}


@pytest.fixture
def children():
    started = []
    yield started
    for p in started:
        p.kill()
        p.wait()


def start(children, root, archive, *argv):
    """The image's own command in its root file system, as the user it names."""
    user, group = (int(x) for x in archive.config["config"]["User"].split(":"))

    def become():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    p = subprocess.Popen([*archive.config["config"]["Entrypoint"], *argv], preexec_fn=become, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, env=dict(e.split("=", 1) for e in archive.config["config"]["Env"]))
    children.append(p)
    return p


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_files_give_the_same_bytes(images, name, tmp_path):
    """Another folder, other times of files, another mask, time zone and language."""
    program = shutil.copy(BIN / program_of(name), tmp_path / program_of(name))
    os.utime(program, (1, 1))
    make(program, tmp_path / "again.tar", "--name", f"localhost/fairlead/{name}", "--user", PROGRAMS[name], *(PLUGIN if name == "cni" else []), env=dict(ENV, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7"))
    assert (tmp_path / "again.tar").read_bytes() == (images[1] / f"{name}.tar").read_bytes()
    assert (tmp_path / "again.spdx.json").read_bytes() == (images[1] / f"{name}.spdx.json").read_bytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_in_it(images, name):
    archive = images[0][name]
    files = archive.files()
    assert archive.packed_bytes <= 12 << 20
    assert archive.config["architecture"] == archive.described["platform"]["architecture"] == "amd64"
    assert archive.config["config"]["User"] == PROGRAMS[name]
    assert archive.described["annotations"]["io.containerd.image.name"].startswith(f"localhost/fairlead/{name}:")
    assert [path for path, (m, _) in files.items() if m.mode & 0o6000 or m.uid or m.gid or m.mtime != 1700000000] == []
    assert [path for path, (m, _) in files.items() if m.mode & 0o002 and path != "tmp" and not m.issym()] == []
    programs = {path for path, (m, _) in files.items() if m.isfile() and m.mode & 0o111 and not path.startswith("usr/lib/")}
    assert programs == {f"usr/bin/{program_of(name)}"} | ({"usr/bin/fairlead-cni"} if name == "cni" else set())
    assert b"nologin" in files["etc/passwd"][1] and b":65532:" in files["etc/passwd"][1]
    assert files["etc/ssl/certs/ca-certificates.crt"][1].count(b"BEGIN CERTIFICATE") > 100
    # Each library that is needed, and no other.
    libraries = {os.path.basename(path): elf.Elf(content) for path, (m, content) in files.items() if m.isfile() and path.startswith("usr/lib/") and ".so" in path}
    program = elf.Elf(files[f"usr/bin/{program_of(name)}"][1])
    needed, todo = {os.path.basename(program.interpreter)}, list(program.needed)
    while todo:
        library = todo.pop()
        if library not in needed:
            needed.add(library)
            todo += libraries[library].needed
    assert set(libraries) == needed
    assert all(about.soname in (library, None) for library, about in libraries.items())


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_bill_of_materials(images, name):
    """Packages as Debian's database has them, each file of the image with its hash, and nothing that is pointed to is missing."""
    archive, folder = images[0][name], images[1]
    bill = json.loads((folder / f"{name}.spdx.json").read_text())
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    ids = [x["SPDXID"] for x in bill["packages"] + bill["files"]] + ["SPDXRef-DOCUMENT"]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    assert {end for r in bill["relationships"] for end in (r["spdxElementId"], r["relatedSpdxElement"])} == set(ids)
    packages = {p["name"]: p for p in bill["packages"]}
    assert packages[f"localhost/fairlead/{name}"]["checksums"][0]["checksumValue"] == archive.described["digest"].split(":")[1]
    debian = {n: p for n, p in packages.items() if "externalRefs" in p}
    assert {"libc6", "libssl3", "ca-certificates"} <= set(debian)
    for package, p in debian.items():
        assert p["versionInfo"] == run("dpkg-query", "-W", "-f", "${Version}", package)
        assert p["externalRefs"][0]["referenceLocator"].startswith(f"pkg:deb/debian/{package}@")
    inside_it = archive.files()
    assert {f["fileName"] for f in bill["files"]} == {"./" + path for path, (m, _) in inside_it.items() if m.isfile() and "status.d" not in path}
    for f in bill["files"]:
        content = inside_it[f["fileName"][2:]][1]
        assert {c["algorithm"]: c["checksumValue"] for c in f["checksums"]} == {"SHA1": hashlib.sha1(content).hexdigest(), "SHA256": hashlib.sha256(content).hexdigest()}
    assert {path.split("/")[-1] for path in inside_it if path.startswith("var/lib/dpkg/status.d/")} == set(debian)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_says_its_version(images, roots, children, name):
    p = start(children, roots[name], images[0][name], "--version")
    out, _ = p.communicate(timeout=20)
    assert p.returncode == 0 and out.decode().startswith(f"{program_of(name)} "), out


def test_what_libraries_need_in_turn(children, tmp_path):
    """A program whose libraries need others that it does not name."""
    make("/usr/bin/env", tmp_path / "dig.tar", "--max-bytes", 40 << 20, "--also", "/usr/bin/dig", "--also", "/usr/bin/dig=/other/name")
    archive = Archive(tmp_path / "dig.tar")
    root = archive.unpack(tmp_path / "root")
    for name in ("dig", "/other/name"):
        p = start(children, root, archive, name, "-v")
        assert b"DiG" in p.communicate(timeout=20)[0]
    bill = json.loads((tmp_path / "dig.spdx.json").read_text())
    assert {"bind9-dnsutils", "libuv1"} <= {p["name"] for p in bill["packages"]}
    ids = [f["SPDXID"] for f in bill["files"]]
    assert len(ids) == len(set(ids))


def test_the_proxy_serves(images, roots, children):
    """From its own files alone, as nobody: a name is looked up, a request goes through."""
    behind, front = free_ports(2)
    children.append(subprocess.Popen([ECHO, "--http", str(behind), "--name", "behind"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    start(children, roots["proxy"], images[0]["proxy"], "--listen", f"127.0.0.1:{front}", "--route", f"/=http://127.0.0.1:{behind}")
    answer = wait_until("the proxy answers", lambda: run("curl", "-s", "-m", str(3 * SLOW), f"http://127.0.0.1:{front}/x", check=False).stdout)
    assert "behind" in answer


@pytest.mark.parametrize("change, says", [
    (["--max-bytes", "1000"], "more than the 1000 that are allowed"),
    (["--arch", "arm64", "--sysroot", "/", "--strip", ""], "is of amd64, not of arm64"),
    (["--arch", "arm64"], "--sysroot is needed for arm64"),
    (["--sysroot", "/nowhere"], "/nowhere"),
])
def test_what_cannot_be_is_said(change, says, tmp_path):
    done = make(BIN / "fairlead-proxy", tmp_path / "x.tar", *change, check=False)
    assert done.returncode == 1 and says in done.stderr and not (tmp_path / "x.tar").exists()


def test_a_library_of_no_package_is_refused(tmp_path):
    """Nobody could tell what is in it: a root file system whose database knows nothing of the library that lies there."""
    root = tmp_path / "root"
    for path in run("dpkg-query", "-L", "libc6").split():
        if os.path.isfile(path) and not os.path.islink(path):
            os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
            shutil.copy(path, f"{root}{path}")
    status = run("dpkg-query", "-s", "base-files")
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(status + "\n")
    (root / "etc").mkdir(exist_ok=True)
    shutil.copy("/etc/os-release", root / "etc/os-release")
    done = make(BIN / "fairlead-echo", tmp_path / "x.tar", "--sysroot", root, check=False)
    assert done.returncode == 1 and "is of no Debian package" in done.stderr, done.stderr
