#!/usr/bin/env python3
"""Debian packages of our programs, by dpkg-deb: deb.py BIN OUTPUT [--arch arm64 --sysroot DIR --strip TOOL --run COMMAND]

What is in them: deploy/debian/README.md. They depend on the packages of the libraries that the programs need, in the versions that they were built with or newer. The same programs and SOURCE_DATE_EPOCH (default: the time of the
last commit) give the same bytes."""
import argparse
import email.utils
import gzip
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import elf
from image import Packages, ROOT, default_epoch, fail, stripped, this_architecture, version

MAINTAINER = "Fairlead maintainers <maintainers@fairlead.dev>"
PACKAGES = {"fairlead": ["fairlead", "fairlead-labd", "fairlead-echo"], "fairlead-agent": ["fairlead-agent"], "fairlead-control": ["fairlead-control"], "fairlead-proxy": ["fairlead-proxy"]}
SCRIPTS = {
    "postinst": """#!/bin/sh
set -e
if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-deconfigure ] || [ "$1" = abort-remove ]; then
    deb-systemd-helper unmask UNIT >/dev/null || true
    if deb-systemd-helper --quiet was-enabled UNIT; then
        deb-systemd-helper enable UNIT >/dev/null || true
    else
        deb-systemd-helper update-state UNIT >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then action=restart; else action=start; fi
        deb-systemd-invoke $action UNIT >/dev/null || true
    fi
fi
""",
    "prerm": """#!/bin/sh
set -e
if [ -z "${DPKG_ROOT:-}" ] && [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop UNIT >/dev/null || true
fi
""",
    "postrm": """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = remove ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper mask UNIT >/dev/null || true
fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge UNIT >/dev/null || true
    deb-systemd-helper unmask UNIT >/dev/null || true
fi
""",
}


def depends(packages, contents, arch):
    """"libc6 (>= 2.36), …" of the libraries that the programs need themselves."""
    found = {}
    for name in sorted({n for content in contents for n in elf.Elf(content).needed}):
        for folder in (f"usr/lib/{elf.TRIPLETS[arch]}", f"lib/{elf.TRIPLETS[arch]}", "usr/lib", "lib64"):
            path = packages.root / folder / name
            if path.exists():
                break
        else:
            fail(f"{name} is nowhere in {packages.root}")
        owner = packages.owner("/" + str(path.resolve().relative_to(packages.root.resolve())))
        if not owner:
            fail(f"{name} is of no package of {packages.root}")
        facts = packages.facts(owner)
        found[facts["Package"]] = re.match(r"(\d+:)?\d+(\.\d+)?", facts["Version"]).group(0)  # sonames and symbols' versions say the rest
    return ", ".join(f"{name} (>= {v})" for name, v in sorted(found.items()))


def man_page(program, section, run, epoch):
    """Of what --help says; the program is run."""
    done = subprocess.run([*run, str(program), "--help"], capture_output=True, text=True)
    if done.returncode:
        fail(f"{program} --help: {done.stderr}")
    name, text = pathlib.Path(program).name, done.stdout.rstrip("\n")
    first, _, rest = text.partition("\n")
    summary = first.split(": ", 1)[1]
    safe = lambda s: re.sub(r"^([.'])", r"\\&\1", s.replace("\\", "\\e").replace("-", "\\-"), flags=re.M)  # noqa: E731
    day = email.utils.formatdate(epoch).split(" ", 1)[1][:11]
    return f""".TH {name.upper()} {section} "{day}" "fairlead {version()}" "Fairlead"
.SH NAME
{name} \\- {safe(summary)}
.SH DESCRIPTION
.nf
{safe(rest.strip())}
.fi
""".encode()


def packed(content):
    return gzip.compress(content, 9, mtime=0)


def put(folder, path, content, mode=0o644):
    target = folder / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(mode)


def fill(folder, name, args):
    """All files of the package; what its programs are."""
    contents = []
    for program in PACKAGES[name]:
        contents.append(stripped(args.bin / program, args.strip))
        put(folder, f"usr/bin/{program}", contents[-1], 0o755)
        section = 1 if name == "fairlead" else 8
        put(folder, f"usr/share/man/man{section}/{program}.{section}.gz", packed(man_page(args.bin / program, section, args.run, args.epoch)))
    root = ROOT / "deploy/debian" / name / "root"
    for path in sorted(root.rglob("*")):
        if path.is_file():
            put(folder, str(path.relative_to(root)), path.read_bytes())
    if name == "fairlead":
        completion = subprocess.run([*args.run, args.bin / "fairlead", "completion", "bash"], capture_output=True, check=True).stdout
        put(folder, "usr/share/bash-completion/completions/fairlead", completion)
    doc = f"usr/share/doc/{name}"
    put(folder, f"{doc}/copyright", b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: fairlead\n\nFiles: *\nCopyright: 2026 Fairlead maintainers\nLicense: Apache-2.0\n"
        b" On Debian systems, the full text of the Apache License, Version 2.0 can be found\n in the file /usr/share/common-licenses/Apache-2.0.\n")
    put(folder, f"{doc}/changelog.gz", packed(f"fairlead ({version()}) unstable; urgency=medium\n\n  * CHANGELOG.md of the project says what has changed.\n\n -- {MAINTAINER}  {email.utils.formatdate(args.epoch)}\n".encode()))
    return contents


def control_files(folder, name, contents, args):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    size = sum((p.stat().st_size + 1023) // 1024 for p in files) + sum(1 for p in folder.rglob("*") if p.is_dir())
    fields = {"Package": name, "Source": "fairlead", "Version": version(), "Architecture": args.arch, "Maintainer": MAINTAINER, "Installed-Size": size, "Depends": depends(args.packages, contents, args.arch), "Priority": "optional"}
    if name == "fairlead":
        del fields["Source"]
    own = (ROOT / "deploy/debian" / name / "control").read_text()
    put(folder, "DEBIAN/control", ("".join(f"{k}: {v}\n" for k, v in fields.items()) + own).encode())
    put(folder, "DEBIAN/md5sums", "".join(f"{hashlib.md5(p.read_bytes()).hexdigest()}  {p.relative_to(folder)}\n" for p in files).encode())
    conffiles = [f"/{p.relative_to(folder)}\n" for p in files if p.relative_to(folder).parts[0] == "etc"]
    if conffiles:
        put(folder, "DEBIAN/conffiles", "".join(conffiles).encode())
    for script, text in SCRIPTS.items():
        if name != "fairlead":
            put(folder, f"DEBIAN/{script}", text.replace("UNIT", f"'{name}.service'").encode(), 0o755)


def make(name, args):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "root"
        folder.mkdir()
        contents = fill(folder, name, args)
        control_files(folder, name, contents, args)
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
            os.utime(path, (args.epoch, args.epoch))
        out = args.output / f"{name}_{version()}_{args.arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", folder, out], check=True, stdout=subprocess.DEVNULL, env=os.environ | {"SOURCE_DATE_EPOCH": str(args.epoch)})
        print(f"{out.relative_to(os.getcwd()) if out.is_relative_to(os.getcwd()) else out}: {out.stat().st_size / 1024:.0f} KiB, {depends(args.packages, contents, args.arch)}")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("bin", type=pathlib.Path)
    p.add_argument("output", type=pathlib.Path)
    p.add_argument("--arch", default=this_architecture())
    p.add_argument("--sysroot", default="/", type=pathlib.Path, help="where the packages of the libraries are installed")
    p.add_argument("--strip", default="strip")
    p.add_argument("--run", default="", type=shlex.split, help="how programs of that architecture are run here")
    args = p.parse_args()
    if not shutil.which("dpkg-deb"):
        fail("dpkg-deb is needed")
    args.epoch, args.packages = default_epoch(), Packages(args.sysroot)
    args.output = args.output.resolve()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        make(name, args)


main()
