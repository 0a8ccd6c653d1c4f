#!/usr/bin/env python3
"""An image of one program, as an OCI layout in a tar archive: made without a daemon, without a registry, the same each time.

    tools/image.py build/bin/fairlead-proxy --name fairlead/proxy --output build/images/proxy.tar

In it: the program, the shared libraries that it needs and their licences, the certificates that Debian trusts, a few words of
/etc. No shell, no package manager. The libraries are files of Debian packages that are installed in a root file system: this
machine's for its own architecture, a folder (--sysroot) for another. Beside the archive stands NAME.spdx.json, which says what
is in it by packages and versions.

The same files, versions and SOURCE_DATE_EPOCH (default: the time of the last commit) give the same bytes.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import time

import elf

ROOT = pathlib.Path(__file__).resolve().parents[1]
BYTES_MAX = 12 << 20
NOBODY = "65532:65532"
INDEX, MANIFEST, CONFIG, LAYER = ("application/vnd.oci.image." + kind for kind in
                                  ("index.v1+json", "manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip"))
ETC = {
    "passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nfairlead:x:65532:65532:fairlead:/:/usr/sbin/nologin\n",
    "group": "root:x:0:\nfairlead:x:65532:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def fail(text):
    sys.exit(f"image: {text}")


class Packages:
    """Debian's, as they are installed in a root file system."""

    def __init__(self, root):
        self.root = root
        self.admin = root / "var/lib/dpkg"

        self.status, self.owners = None, None

    def owner(self, path):
        """Of /usr/lib/…, which a package may have as /lib/…"""
        if self.owners is None:
            self.owners = {}
            for list_ in sorted(self.admin.glob("info/*.list")):
                for line in list_.read_text(errors="replace").splitlines():
                    if "/lib" in line or "bin/" in line:
                        self.owners[line] = list_.name[:-len(".list")]
        return self.owners.get(path) or self.owners.get(path.removeprefix("/usr"))

    def facts(self, name):
        """The paragraph of NAME or NAME:ARCHITECTURE in its status, as a dict."""
        if self.status is None:
            self.status = {}
            for text in (self.admin / "status").read_text(errors="replace").split("\n\n"):
                fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", text, re.M))
                if fields.get("Status", "").endswith(" installed"):
                    self.status[fields["Package"] + ":" + fields["Architecture"]] = self.status[fields["Package"]] = fields
        if name not in self.status:
            fail(f"package {name} is not installed in {self.root}; install it there")
        return self.status[name]


class Tree:
    """A root file system: path to (mode, bytes | link | None for a folder)."""

    def __init__(self):
        self.entries = {}

    def folder(self, path, mode=0o755):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.folder(parent)
        self.entries.setdefault(path, (mode, None))

    def add(self, path, content, mode=0o644):
        """Bytes, or a str: what the link points to."""
        path = path.lstrip("/")
        self.folder(os.path.dirname(path))
        self.entries[path] = (mode, content)

    def tar(self, epoch):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(self.entries):
                if path:
                    mode, content = self.entries[path]
                    put(tar, path, content, mode, epoch)
        return out.getvalue()


def put(tar, path, content, mode, epoch):
    info = tarfile.TarInfo(path)
    info.mtime, info.mode, info.uid, info.gid, info.uname, info.gname = epoch, mode, 0, 0, "", ""
    if content is None:
        info.type = tarfile.DIRTYPE
    elif isinstance(content, str):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, content, 0o777
    else:
        info.size = len(content)
    tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)


def stripped(path, tool):
    """Without its symbols for debuggers."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        done = subprocess.run([tool, "--strip-all", "-o", out, str(path)], capture_output=True, text=True)
        if done.returncode:
            fail(f"{tool}: {done.stderr.strip()}")
        return pathlib.Path(out).read_bytes()


class Image:
    def __init__(self, args):
        self.args = args
        self.sysroot = pathlib.Path(args.sysroot)
        self.packages = Packages(self.sysroot)
        self.tree = Tree()
        self.used = {}  # package's name: its facts
        self.known = {}  # library's name: what it says of itself
        self.files = []  # (path, package or None, bytes)

    def file(self, path, content, mode=0o644, package=None):
        self.tree.add(path, content, mode)
        if isinstance(content, bytes):
            self.files.append((path, package, content))

    def use(self, package):
        """The package is in the image: its licence and its paragraph, which scanners read, are, too."""
        name = package.split(":")[0]
        if name in self.used:
            return name
        facts = self.packages.facts(package)
        self.used[name] = facts
        licence = self.sysroot / f"usr/share/doc/{name}/copyright"
        if licence.is_file():
            self.file(f"/usr/share/doc/{name}/copyright", licence.read_bytes(), package=name)
        kept = ("Package", "Source", "Version", "Architecture", "Maintainer", "Section", "Homepage")
        self.tree.add(f"/var/lib/dpkg/status.d/{name}", "".join(f"{k}: {facts[k]}\n" for k in kept if k in facts).encode())
        return name

    def library(self, name, whose):
        """Puts it in; what it says of itself."""
        if name in self.known:
            return self.known[name]
        triplet = elf.TRIPLETS[self.args.arch]
        for folder in (f"usr/lib/{triplet}", f"lib/{triplet}", "usr/lib", "lib64", "usr/lib64"):
            path = self.sysroot / folder / name
            if path.exists():
                break
        else:
            fail(f"{whose} needs {name}, which {self.sysroot} does not have for {self.args.arch}; install its package there")
        real = "/" + str(path.resolve().relative_to(self.sysroot.resolve()))
        owner = self.packages.owner(real)
        if not owner:
            fail(f"{real} is of no Debian package: what is in it cannot be told")
        content = path.read_bytes()
        about = elf.Elf(content)
        if about.machine != self.args.arch:
            fail(f"{real} is of {about.machine}, not of {self.args.arch}")
        self.file(f"/usr/lib/{triplet}/{name}", content, 0o755, self.use(owner))
        self.known[name] = about
        return about

    def libraries(self, content, whose):
        about = elf.Elf(content)
        if about.machine != self.args.arch:
            fail(f"{whose} is of {about.machine}, not of {self.args.arch}")
        todo, done = list(about.needed), set()
        if about.interpreter:
            name = os.path.basename(about.interpreter)
            self.library(name, whose)
            done.add(name)
            for folder in ("lib", "lib64"):
                self.tree.folder(f"usr/{folder}")
                self.tree.add(folder, f"usr/{folder}")
            where = "/usr" + about.interpreter
            self.tree.add(where, os.path.relpath(f"/usr/lib/{elf.TRIPLETS[self.args.arch]}/{name}", os.path.dirname(where)))
        while todo:
            name = todo.pop()
            if name not in done:
                done.add(name)
                todo += self.library(name, whose).needed

    def trust(self):
        """As update-ca-certificates makes it."""
        folder = self.sysroot / "usr/share/ca-certificates"
        found = sorted(folder.rglob("*.crt"))
        if not found:
            fail(f"{folder} has no certificates: install ca-certificates")
        bundle = b"".join(p.read_bytes().rstrip(b"\n") + b"\n" for p in found)
        self.file("/etc/ssl/certs/ca-certificates.crt", bundle, package=self.use("ca-certificates"))
        self.tree.add("/usr/lib/ssl/cert.pem", "../../../etc/ssl/certs/ca-certificates.crt")  # where OpenSSL looks
        self.tree.add("/usr/lib/ssl/certs", "../../../etc/ssl/certs")

    def build(self):
        program = pathlib.Path(self.args.program)
        content = stripped(program, self.args.strip) if self.args.strip else program.read_bytes()
        self.tree.folder("tmp", 0o1777)
        for name, text in ETC.items():
            self.file(f"/etc/{name}", text.encode())
        self.file("/etc/os-release", (self.sysroot / "etc/os-release").read_bytes(), package=self.use("base-files"))
        self.libraries(content, program)
        for also in self.args.also:
            path, _, inside = also.partition("=")
            self.program(pathlib.Path(path), inside or f"/usr/bin/{pathlib.Path(path).name}")
        if not self.args.no_trust:
            self.trust()
        self.file("/usr/share/doc/fairlead/LICENSE", (ROOT / "LICENSE").read_bytes())
        self.file(f"/usr/bin/{program.name}", content, 0o755)

    def program(self, path, inside):
        """One more, as it is; a script has no libraries."""
        content = path.read_bytes()
        if not content.startswith(b"#!"):
            self.libraries(content, path)
        owner = self.packages.owner(str(path.resolve())) or self.packages.owner(str(path))
        self.file(inside, content, 0o755, self.use(owner) if owner else None)

    # ---- what it is told as ----

    def archive(self):
        args = self.args
        layer = self.tree.tar(args.epoch)
        packed = gzip.compress(layer, 9, mtime=0)
        if len(packed) > args.max_bytes:
            fail(f"{args.name}: {len(packed)} bytes, more than the {args.max_bytes} that are allowed (--max-bytes)")
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(args.epoch))
        labels = {"org.opencontainers.image.title": args.name, "org.opencontainers.image.version": args.tag,
                  "org.opencontainers.image.created": created, "org.opencontainers.image.licenses": "Apache-2.0"}
        config = {
            "architecture": args.arch, "os": "linux", "created": created,
            "config": {"User": args.user, "Entrypoint": ["/usr/bin/" + pathlib.Path(args.program).name],
                       "Env": ["PATH=/usr/bin"], "WorkingDir": "/", "Labels": labels} | ({"Cmd": args.args} if args.args else {}),
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created": created, "created_by": "tools/image.py", "comment": args.name}],
        }
        blobs = {}

        def blob(content, kind):
            blobs[digest(content)] = content
            return {"mediaType": kind, "digest": digest(content), "size": len(content)}
        manifest = blob(packed_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob(packed_json(config), CONFIG),
                                     "layers": [blob(packed, LAYER)], "annotations": labels}), MANIFEST)
        manifest |= {"platform": {"architecture": args.arch, "os": "linux"},
                     "annotations": {"org.opencontainers.image.ref.name": args.tag, "io.containerd.image.name": f"{args.name}:{args.tag}"}}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in ("blobs", "blobs/sha256"):
                put(tar, path, None, 0o755, args.epoch)
            for name in sorted(blobs):
                put(tar, "blobs/" + name.replace(":", "/"), blobs[name], 0o644, args.epoch)
            put(tar, "index.json", packed_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}), 0o644, args.epoch)
            put(tar, "oci-layout", packed_json({"imageLayoutVersion": "1.0.0"}), 0o644, args.epoch)
        return out.getvalue(), manifest["digest"], len(packed), created

    def sbom(self, image_digest, created):
        args = self.args
        ident = lambda text: "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)  # noqa: E731

        def package(name, version, **more):
            return {"SPDXID": ident("Package-" + name), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
                    "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION", "licenseDeclared": "NOASSERTION"} | more
        program = pathlib.Path(args.program).name
        packages = [package(args.name, args.tag, primaryPackagePurpose="CONTAINER", licenseDeclared="Apache-2.0",
                            checksums=[{"algorithm": "SHA256", "checksumValue": image_digest.split(":")[1]}]),
                    package(program, args.tag, primaryPackagePurpose="APPLICATION", licenseDeclared="Apache-2.0")]
        relations = [("SPDXRef-DOCUMENT", "DESCRIBES", ident("Package-" + args.name)),
                     (ident("Package-" + args.name), "CONTAINS", ident("Package-" + program))]
        for name, facts in sorted(self.used.items()):
            purl = f"pkg:deb/debian/{name}@{facts['Version'].replace(':', '%3A').replace('+', '%2B')}?arch={facts['Architecture']}"
            packages.append(package(name, facts["Version"], supplier=f"Person: {facts['Maintainer']}" if "Maintainer" in facts else "NOASSERTION",
                                    sourceInfo=f"built from Debian source {facts.get('Source', name)}", primaryPackagePurpose="LIBRARY",
                                    externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]))
            relations.append((ident("Package-" + args.name), "CONTAINS", ident("Package-" + name)))
        files = []
        for path, owner, content in sorted(self.files):
            spdx = ident("File" + path.replace("/", "-"))
            files.append({"SPDXID": spdx, "fileName": "." + path, "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION",
                          "licenseInfoInFiles": ["NOASSERTION"],
                          "checksums": [{"algorithm": kind.upper(), "checksumValue": hashlib.new(kind, content).hexdigest()} for kind in ("sha1", "sha256")]})
            relations.append((ident("Package-" + (owner or (program if path.endswith(program) else args.name))), "CONTAINS", spdx))
        return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{args.name}-{args.tag}-{args.arch}",
                "documentNamespace": f"https://fairlead.dev/spdx/{args.name}/{args.tag}/{image_digest.split(':')[1]}",
                "creationInfo": {"created": created, "creators": ["Tool: fairlead-image"]},
                "packages": packages, "files": files,
                "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b} for a, kind, b in relations]}


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def packed_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def this_architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def default_epoch():
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


def version():
    return re.search(r"project\(fairlead VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog="See the head of this file.")
    p.add_argument("program")
    p.add_argument("--name", required=True, help="of the image, without a tag")
    p.add_argument("--tag", default=version(), help="default: the version of this tree")
    p.add_argument("--output", required=True, type=pathlib.Path)
    p.add_argument("--arch", default=this_architecture(), choices=sorted(elf.MACHINES))
    p.add_argument("--sysroot", help="where the Debian packages of that architecture are installed (default: / for this machine's own)")
    p.add_argument("--user", default=NOBODY, help="default: %(default)s")
    p.add_argument("--args", nargs="*", help="of the program, where whoever runs it gives none")
    p.add_argument("--also", action="append", default=[], metavar="PROGRAM[=PATH]", help="one more program in it, for images that tests need (default path: /usr/bin)")
    p.add_argument("--strip", help="the program that takes symbols out (default: strip, or the cross one); empty: they stay")
    p.add_argument("--no-trust", action="store_true", help="without ca-certificates")
    p.add_argument("--max-bytes", type=int, default=BYTES_MAX, help="of the compressed layer; more is refused")
    args = p.parse_args()
    native = args.arch == this_architecture()
    if args.sysroot is None:
        if not native:
            fail(f"--sysroot is needed for {args.arch}: a folder with its Debian packages, unpacked (tools/sysroot.sh makes one)")
        args.sysroot = "/"
    if args.strip is None:
        args.strip = "strip" if native else elf.TRIPLETS[args.arch] + "-strip"
    args.epoch = default_epoch()
    try:
        image = Image(args)
        image.build()
        archive, image_digest, size, created = image.archive()
    except (OSError, elf.NotElf) as e:
        fail(f"{args.program}: {e}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(archive)
    sbom = args.output.with_suffix(".spdx.json")
    sbom.write_text(json.dumps(image.sbom(image_digest, created), indent=1) + "\n")
    print(f"{args.output}: {args.name}:{args.tag} {args.arch} {image_digest}, {size / (1 << 20):.2f} MiB compressed, "
          f"{len(image.used)} packages of Debian")


if __name__ == "__main__":
    main()
