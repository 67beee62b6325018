#!/usr/bin/env bash
# Set up and test on each Python from 3.8 to 3.11 that is here, or that uv can bring: tools/matrix.sh [pytest arguments].
# Each gets a copy of the checkout and a .venv of its own below output/matrix; the table at the end is for CONTRIBUTING.md.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
out=$root/output/matrix

# the first working interpreter of a version, by setup.sh's own rules
find_version() {
    local name
    for name in $(type -aP "python$1" 2>/dev/null) \
        $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python 2>/dev/null); do
        if "$name" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    command -v uv >/dev/null 2>&1 && uv python install --quiet "$1" >/dev/null 2>&1 && uv python find "$1" 2>/dev/null
}

failed=0
rows=()
for version in 3.8 3.9 3.10 3.11; do
    if ! python=$(find_version "$version"); then
        printf '%s\n' "matrix: no Python $version here, and uv brings none: left out" >&2
        rows+=("| $version | | not found | |")
        continue
    fi
    copy=$out/$version
    mkdir -p "$copy"
    # the checkout's files as they are now; .venv and the built operators of an earlier run stay
    find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv ! -name operator_cxx -exec rm -rf {} +
    git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read \
        | tar --extract --directory="$copy"
    full=$("$python" -c 'import platform; print(platform.python_version())')
    printf '%s\n' "matrix: Python $full"
    commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD || printf ' and changes')
    start=$SECONDS
    if (cd "$copy" && PYTHON=$python ./setup.sh --cpu test "$@") >"$out/$version.log" 2>&1; then
        result=$(grep -E '[0-9]+ passed' "$out/$version.log" | tail -n 1 | sed 's/=//g; s/^ *//; s/ in .*//')
    else
        result="FAILED: $(grep -E '^(FAILED|ERROR|setup: )|[0-9]+ failed' "$out/$version.log" | tail -n 1)"
        failed=1
    fi
    printf '%s\n' "matrix:   $result (output/matrix/$version.log)"
    rows+=("| $full | $commit | $result | $(((SECONDS - start + 30) / 60)) |")
done

printf '\n%s\n\n' "\`tools/matrix.sh $*\` on $(date -u +%Y-%m-%d):"
printf '%s\n' '| Python | commit | tests | minutes with set-up |' '|---|---|---|---|' "${rows[@]}"
exit "$failed"
