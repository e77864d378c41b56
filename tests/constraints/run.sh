#!/usr/bin/env bash
# Runs the suite with the oldest or the newest releases that the project is said to work with:
#   bash tests/constraints/run.sh oldest|newest [PYTHON [PYTEST_ARGUMENT ...]]
# They are installed into $ZOO_VENV, default a new folder that is removed in the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
which=${1:?say oldest or newest}
python=${2:-python3}
shift $(($# < 2 ? $# : 2))
constraints=tests/constraints/$which.txt
[ -f "$constraints" ] || { echo "run.sh: there is no $constraints; say oldest or newest." >&2; exit 2; }
if [ -z "${ZOO_VENV:-}" ]; then
    ZOO_VENV=$(mktemp -d)
    trap 'rm -rf "$ZOO_VENV"' EXIT
fi
[ -x "$ZOO_VENV/bin/python" ] || "$python" -m venv "$ZOO_VENV"
# The tools that lint and type-check are pinned already, and their own needs are newer.
sed -n '/^dev = \[/,/^\]/p' pyproject.toml | grep -oE '"[^"]+"' | tr -d '"' |
    grep -vE '^(ruff|pyright|pre-commit)' > "$ZOO_VENV/tests.txt"
"$ZOO_VENV/bin/python" -m pip install --quiet -c "$constraints" -e . -r "$ZOO_VENV/tests.txt"
"$ZOO_VENV/bin/python" -m pip check
"$ZOO_VENV/bin/python" -m pytest -p no:cacheprovider "$@"
