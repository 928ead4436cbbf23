#!/bin/sh
# Creates the virtual environment in $1, or says in one line what this machine lacks for it.
set -eu
venv=$1
lacks() { echo "setup: $1 is missing; on Debian: apt-get install $2" >&2; exit 1; }
command -v "$PYTHON" >/dev/null || lacks "Python ($PYTHON)" "python3"
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
  echo "setup: $("$PYTHON" --version) is not supported; use PYTHON=python3.11 (or 3.12, 3.13) make setup" >&2; exit 1; }
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || lacks "the venv module" "python3-venv"
# libp2p needs fastecdsa, which is compiled here.
command -v cc >/dev/null || command -v gcc >/dev/null || lacks "a C compiler" "build-essential"
include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -f "$include/Python.h" ] || lacks "Python.h" "python3-dev"
echo '#include <gmp.h>' | ${CC:-cc} -E -x c - >/dev/null 2>&1 || lacks "gmp.h" "libgmp-dev"
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
