#!/usr/bin/env bash
# make-venv.sh PYTHON FOLDER: create a virtual environment, unless the folder has a working one.
#
# Debian packages the venv module separately; if it is missing and we are root, the package is installed.
set -euo pipefail
python=$1
folder=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "jcs-ct needs Python 3.11 or newer, found $("$python" --version 2>&1) as '$python'." \
        "Name another one: make PYTHON=python3.12 ..." >&2
    exit 2
}

if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    "$(dirname "$0")/debian-packages.sh" python3-venv
fi
rm -rf "$folder"
"$python" -m venv "$folder"
