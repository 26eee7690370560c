#!/usr/bin/env bash
# Resolve every dependency anew in an environment of its own, and write what came out to constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet -e '.[dev,weights]' "$@"
"$scratch/venv/bin/python" -m pip check
{
    echo "# Every version that the project is tested with; written by \`make pins\`."
    # A local build's tag (+cpu) and the accelerator's own wheels differ between machines: torch pins the latter itself.
    "$scratch/venv/bin/python" -m pip freeze --exclude-editable | sed -e 's/+[a-z0-9.]*$//' -e '/^nvidia-/d' -e '/^triton==/d'
} >constraints.txt
