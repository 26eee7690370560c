#!/usr/bin/env bash
# Make .venv ready: look at the machine, create the environment, install what constraints.txt pins.
# The stamp holds what the environment was made from, so nothing is done when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'install: %s\n' "$1" >&2
    exit 1
}

find_python() {
    local name
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer on PATH; install it (apt-get install python3.11 python3.11-venv), or name one with PYTHON=…"
}

need_disk() {
    local free
    free=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free" -ge $(($1 * 1024 * 1024)) ] || fail "$((free / 1024 / 1024)) GB free on this disk, $1 GB needed; make room, or clone to another disk"
}

python=$(find_python)
[ -f pyproject.toml ] && [ -f constraints.txt ] || fail "pyproject.toml or constraints.txt is missing; run it from a whole clone"
# The path counts too: an environment does not survive being moved.
key=$({ "$python" -V; pwd; cat pyproject.toml constraints.txt; } | cksum)
if [ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$key" ]; then
    need_disk 1
    exit 0
fi

need_disk 5
command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || fail "no C++ compiler on PATH; install one (apt-get install g++), or name one with CXX=…"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module; install it (apt-get install python3-venv)"

echo "install: making .venv with $("$python" -V); a few minutes the first time"
rm -f .venv/stamp
if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || [ "$(.venv/bin/python -V)" != "$("$python" -V)" ]; then
    "$python" -m venv --clear .venv || fail "the environment could not be made"
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,weights]' -c constraints.txt ||
    fail "pip could not install; see its lines above (a network or a package mirror is needed the first time)"
printf '%s' "$key" >.venv/stamp
