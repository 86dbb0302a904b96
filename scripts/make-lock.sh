#!/usr/bin/env bash
# Writes requirements.lock anew: versions and hashes of all that JCS with the extras serve and pacs is installed with, for
# every system and each Python that pyproject.toml allows. constraints.txt holds the versions that were tested.
#
#     scripts/make-lock.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet 'uv>=0.9,<1'
"$folder/bin/uv" pip compile pyproject.toml --extra serve --extra pacs --constraint constraints.txt \
    --universal --generate-hashes --upgrade --no-annotate --quiet \
    --custom-compile-command scripts/make-lock.sh --output-file requirements.lock
