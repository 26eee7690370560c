"""`make install` says in one line what the machine lacks, and does nothing when nothing changed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("awk", "bash", "cat", "cksum", "dirname", "env", "rm")

OLD_PYTHON = "#!/bin/sh\nexit 1\n"
NEW_PYTHON = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
NO_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\n' + NEW_PYTHON.partition("\n")[2]
DISK = "#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted\necho /dev/x 9 9 {free} 9% /\n"


@pytest.fixture
def clone(tmp_path):
    """A clone in a folder with a space, on a machine that has nothing but what the test puts there."""
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return folder


def install(clone: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    programs = {"df": DISK.format(free=99 << 20), "c++": "#!/bin/sh\n", "python3": NEW_PYTHON} | programs
    for name, text in programs.items():
        path = clone.parent / "bin" / name
        if text:
            path.write_text(text)
            path.chmod(0o755)
    environment = {"PATH": str(clone.parent / "bin"), "HOME": str(clone.parent)}
    return subprocess.run(
        [clone / "scripts" / "install.sh"], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("programs", "line"),
    [
        ({"python3": OLD_PYTHON}, "no Python 3.11 or newer"),
        ({"python3": ""}, "no Python 3.11 or newer"),
        ({"python3": NO_VENV}, "has no venv module"),
        ({"c++": ""}, "no C++ compiler"),
        ({"df": DISK.format(free=2 << 20)}, "2 GB free on this disk, 5 GB needed"),
    ],
)
def test_what_is_missing_is_one_line(clone, programs, line):
    done = install(clone, **programs)
    assert done.returncode == 1
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (clone / ".venv").exists()


def test_nothing_is_done_when_nothing_changed_and_all_again_when_something_did(clone):
    fake_pip = '#!/bin/sh\ncase "$1 $2" in "-m pip") echo "$@" >> pip.log;; "-V ") echo "$(cat version)";; esac\n'
    version = subprocess.run([sys.executable, "-V"], capture_output=True, text=True, check=True).stdout
    (clone / "version").write_text(version)
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(fake_pip)
    python.chmod(0o755)

    def installs() -> int:
        done = install(clone)
        assert done.returncode == 0, done.stderr
        return (clone / "pip.log").read_text().count("install")

    assert installs() == 1
    assert installs() == 1
    with (clone / "constraints.txt").open("a") as pins:
        pins.write("another==1\n")
    assert installs() == 2
    assert installs() == 2
