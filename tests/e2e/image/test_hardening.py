"""What the linker and the compiler were told to do for the programs that are shipped, read from the programs. Each of the eight is left out of a small program once: the check has to find that and nothing else."""
import os
import subprocess
import sys

import pytest

from suite import BIN, ROOT, run

# Not the module: a suite of which nothing is collected has failed.
pytestmark = pytest.mark.skipif(bool(os.environ.get("FAIRLEAD_SANITIZED")), reason="sanitized programs are not shipped")
sys.path.insert(0, str(ROOT / "tools"))
import elf  # noqa: E402

PROGRAMS = ("fairlead", "fairlead-agent", "fairlead-control", "fairlead-proxy", "fairlead-labd", "fairlead-echo", "fairlead-cni-node")
SOURCE = r"""
#include <stdio.h>
#include <string.h>
#ifdef ADDRESS_IN_CODE
__asm__(".text\nwhere: .quad where\n");
#endif
int main(int argc, char **argv) { char text[16]; strcpy(text, argv[argc - 1]); memcpy(text + 1, argv[0], (unsigned)argc); puts(text); return 0; }
"""
GOOD = ["-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now,-z,noexecstack"]
# (what is missing, the flags then)
BROKEN = [("position independent", [f for f in GOOD if f not in ("-fPIE", "-pie")] + ["-no-pie"]),
          ("relocations read-only", GOOD + ["-Wl,-z,norelro"]),
          ("bound at start", GOOD + ["-Wl,-z,lazy"]),
          ("no executable stack", GOOD + ["-Wl,-z,execstack"]),
          ("stack protector", GOOD + ["-fno-stack-protector"]),
          ("fortified", GOOD + ["-U_FORTIFY_SOURCE"]),
          ("no library path", GOOD + ["-Wl,-rpath,/tmp"]),
          ("nothing both written and run", GOOD + ["-DADDRESS_IN_CODE", "-Wl,-z,notext"])]


def compiled(tmp_path, flags):
    (tmp_path / "p.c").write_text(SOURCE)
    run("gcc", *flags, "-o", tmp_path / "p", tmp_path / "p.c")
    return elf.read(tmp_path / "p")


@pytest.mark.parametrize("program", PROGRAMS)
def test_shipped_programs_lack_nothing(program, tmp_path):
    assert elf.read(BIN / program).lacks() == []
    run("strip", "-o", tmp_path / program, BIN / program)  # as in images and packages
    assert elf.read(tmp_path / program).lacks() == []


def test_the_static_one_lacks_nothing():
    """It imports nothing, so what the compiler has put in is seen in its own symbols."""
    assert elf.read(BIN / "fairlead-cni").lacks() == ["stack protector (-fstack-protector-strong)", "fortified (-D_FORTIFY_SOURCE)"]
    symbols = set(run("nm", "-j", BIN / "fairlead-cni").split())
    assert {"__stack_chk_fail", "__snprintf_chk"} <= symbols
    run("env", "-i", "CNI_COMMAND=VERSION", BIN / "fairlead-cni")  # it needs nothing of the machine


def test_a_good_one_is_good(tmp_path):
    assert compiled(tmp_path, GOOD).lacks() == []


@pytest.mark.parametrize("what, flags", BROKEN, ids=[what for what, _ in BROKEN])
def test_what_is_left_out_is_found(what, flags, tmp_path):
    lacks = compiled(tmp_path, flags).lacks()
    assert len(lacks) == 1 and lacks[0].startswith(what), lacks
    done = subprocess.run([sys.executable, ROOT / "tools/elf.py", tmp_path / "p"], capture_output=True, text=True)
    assert done.returncode == 1 and what in done.stdout
