#!/usr/bin/env python3
"""run.py FOLDER [NAME...]: boots Debian's kernels under qemu, with this machine's own files as their root, and runs in each what inside.sh says. Prints a table of it; UPDATE=1 puts it into
docs/kernels.md. FOLDER, below that of the build, keeps the kernels and what the runs have left; JOBS kernels run at a time. STEPS: only these of
STEPS, and what others have left stays; NAME=none: only the table of what earlier runs have left. Exit code 1 if something that is meant to pass does not."""
import concurrent.futures
import lzma
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
# (name, suite, archive, what it is)
KERNELS = [("debian-11", "bullseye-security", "debian-security", "Debian 11"),
           ("debian-12", "bookworm-security", "debian-security", "Debian 12"),
           ("debian-13", "trixie", "debian", "Debian 13"),
           ("debian-13-backports", "trixie-backports", "debian", "Debian 13, backports")]
STEPS = [("bare", "what is missing is named"), ("check", "`fairlead check`"), ("unit", "unit tests of nl, dataplane, agent"), ("packets", "packet tests"), ("act-1", "demo, act 1: Services"), ("act-2", "act 2: Ingress"),
         ("act-3", "act 3: mesh")]
# Of the root: how it is reached, and what is laid over it.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_rng"]
MINUTES = 15  # for one kernel; under emulation all is some ten times slower
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /lower /upper /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do /bin/busybox insmod $module || echo "init: $module: not loaded"; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /lower
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir -p /upper/data /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root
/bin/busybox umount /proc /dev
exec /bin/busybox switch_root /root /bin/bash INSIDE
"""


def cpio(files):
    """An initramfs: (name, mode, bytes) of each, in the form "newc"."""
    out = bytearray()
    for i, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        out += b"070701" + b"".join(b"%08X" % n for n in (i, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)) + encoded
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def modules(root, version):
    """Their files in the order in which they go in, each once."""
    seen = []
    for name in MODULES:
        shown = subprocess.run(["modprobe", "-d", root, "-S", version, "--show-depends", name], check=True, capture_output=True, text=True).stdout
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            if path not in seen:
                seen.append(path)
    return seen


def copy_tree(folder):
    """What runs inside, apart from the tree, in which people go on building."""
    tree, build = folder / "tree", folder.parent
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("tests/e2e", "tests/conformance", "tests/pytest.ini", "tests/kernels", "tests/fuzz/corpus/proxy_config", "scripts", "examples", "deploy"):
        (shutil.copytree if (TREE / name).is_dir() else shutil.copy2)(TREE / name, tree / name)
    shutil.copytree(build / "bin", tree / "build/bin")
    (tree / "build/tests").mkdir()
    for test in build.glob("tests/unit_*"):
        if re.match("unit_(nl|dataplane|agent)_", test.name):
            shutil.copy2(test, tree / "build/tests")
    return tree


def initramfs(root, version, results, tree):
    busybox = shutil.which("busybox")
    inside = f"{tree}/tests/kernels/inside.sh {tree} {root} {results}"
    files = [("bin", 0o40755, b""), ("modules", 0o40755, b""), ("bin/busybox", 0o100755, pathlib.Path(busybox).read_bytes()), ("init", 0o100755, INIT.replace("INSIDE", inside).encode())]
    for i, path in enumerate(modules(root, version)):
        data = pathlib.Path(path).read_bytes()
        files.append((f"modules/{i:02}-{pathlib.Path(path).name.split('.')[0]}.ko", 0o100644, lzma.decompress(data) if path.endswith(".xz") else data))
    return cpio(files)


def accelerator(kvm):
    return ["-accel", "kvm", "-cpu", "host,arch-capabilities=off"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]


def kvm_works(root):
    """A kernel without a root panics at once. Virtual machines within virtual machines may have a /dev/kvm on which it does not even get so far."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    argv = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-m", "512M", *accelerator(True), "-kernel", root / "vmlinuz", "-append", "panic=-1"]
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def boot(folder, name, tree):
    """Runs it; {step: (exit code, seconds)} and its version."""
    root, results = folder / name, folder / f"{name}.results"
    version = (root / "version").read_text().strip()
    only = os.environ.get("STEPS", "")
    if not only:
        shutil.rmtree(results, ignore_errors=True)
    results.mkdir(exist_ok=True)
    (folder / f"{name}.initramfs").write_bytes(initramfs(root, version, results, tree))
    kvm = kvm_works(root)
    (results / "environment").write_text(f"export PATH={shlex.quote(os.environ['PATH'])} {'' if kvm else 'FAIRLEAD_SANITIZED=1'} ONLY={shlex.quote(only)}\n")
    shared = [("host", "/", ",readonly=on"), ("results", results, "")]
    argv = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-m", "3G", "-smp", "2", *accelerator(kvm), "-kernel", root / "vmlinuz", "-initrd", folder / f"{name}.initramfs", "-append", "console=ttyS0 quiet panic=-1", "-device", "virtio-rng-pci"]
    for tag, path, more in shared:
        argv += ["-virtfs", f"local,id={tag},path={path},mount_tag={tag},security_model=none,multidevs=remap{more}"]
    began = time.monotonic()
    with open(results / "console.log", "wb") as console:
        try:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, timeout=60 * MINUTES * (1 if kvm else 6)).returncode
        except subprocess.TimeoutExpired:
            code = "none: it was ended"
    print(f"{name}: {version}, {'KVM' if kvm else 'TCG'}, {time.monotonic() - began:.0f} s, exit {code}; {results}")
    return left(folder, name)


def left(folder, name):
    """The kernel's version, and {step: (exit code, seconds)}; of a step that was run again, the last."""
    steps = folder / f"{name}.results" / "steps"
    lines = steps.read_text().splitlines() if steps.exists() else []
    return (folder / name / "version").read_text().strip(), {n: (int(c), int(s)) for n, c, s in map(str.split, lines)}


def said(folder, name, step, result):
    if result is None:
        return "did not run"
    log = (folder / f"{name}.results" / f"{step}.log").read_text(errors="replace")
    counts = re.search(r"^=* ?(\d+ (?:passed|failed).*) in [\d.]+s", log, re.M) or re.search(r"(\d+)% tests passed, \d+ tests failed out of (\d+)", log)
    verdict = "ok" if result[0] == 0 else f"**exit {result[0]}**"
    what = ""
    if counts:
        what = ", " + (counts.group(1).strip("= ") if counts.re.groups == 1 else f"{counts.group(1)} % of {counts.group(2)}")
    elif step == "check":
        complaints = re.findall(r"^(WARN|FAIL)  (FL-[A-Z]+-\d+)", log, re.M)
        what = "".join(f", {word.lower()}s {check}" for word, check in complaints)
    return f"{verdict}{what}, {result[1]} s"


def table(folder, results):
    names = {name: what for name, _, _, what in KERNELS}
    rows = ["| | " + " | ".join(f"{names[n]}: {v}" for n, (v, _) in results.items()) + " |", "|---" * (len(results) + 1) + "|"]
    for step, title in STEPS:
        rows.append(f"| {title} | " + " | ".join(said(folder, n, step, done.get(step)) for n, (_, done) in results.items()) + " |")
    return "\n".join(rows)


def tell(folder, results):
    text = table(folder, results)
    print(text)
    if os.environ.get("UPDATE"):
        page = TREE / "docs" / "kernels.md"
        page.write_text(re.sub(r"(<!-- make kernels UPDATE=1 -->\n).*?(<!-- end -->)", lambda m: m.group(1) + text + "\n" + m.group(2), page.read_text(), flags=re.S))
    sys.exit(any(done.get(step, (1,))[0] for _, done in results.values() for step, _ in STEPS))


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    chosen = sys.argv[2:] or [k[0] for k in KERNELS]
    if chosen == ["none"]:
        return tell(folder, {k[0]: left(folder, k[0]) for k in KERNELS if (folder / f"{k[0]}.results/steps").exists()})
    unknown = [n for n in chosen if n not in {k[0] for k in KERNELS}]
    if unknown:
        sys.exit(f"error: {unknown[0]} is none of {', '.join(k[0] for k in KERNELS)}")
    missing = [(tool, package) for tool, package in (("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("modprobe", "kmod")) if not shutil.which(tool)]
    if missing:
        sys.exit(f"error: {missing[0][0]} is needed: apt-get install --no-install-recommends {' '.join(package for _, package in missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, suite, archive, _ in KERNELS:
        if name in chosen:
            subprocess.run([HERE / "fetch.sh", folder, name, suite, archive], check=True)
    tree = copy_tree(folder)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", 1))) as pool:
        results = {name: boots.result() for name, boots in [(k[0], pool.submit(boot, folder, k[0], tree)) for k in KERNELS if k[0] in chosen]}
    tell(folder, results)


if __name__ == "__main__":
    main()
