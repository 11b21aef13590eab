#!/bin/sh
# Make the Python environment of the parity checks and benches, outside the repository, and print its folder.
#   GEOSAM_REFERENCE_ENV   where (default ~/.cache/geosam-reference)
# Does nothing when the environment already holds these requirements.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
env=${GEOSAM_REFERENCE_ENV:-$HOME/.cache/geosam-reference}
stamp=$env/geosam-requirements
if ! cat "$here/requirements.txt" "$here/constraints.txt" | cmp -s - "$stamp"; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        { echo "setup.sh: Python 3.11 to 3.13 is needed; point PYTHON at one" >&2; exit 1; }
    [ -x "$env/bin/python" ] || "$python" -m venv "$env" >&2
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$here/requirements.txt" --constraint "$here/constraints.txt" >&2
    cat "$here/requirements.txt" "$here/constraints.txt" >"$stamp"
fi
echo "$env"
