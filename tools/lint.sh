#!/usr/bin/env bash
# Every linter and type check of the project: tools/lint.sh (needs: .venv/bin/pip install -r requirements-dev.txt).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d .venv/bin ] && PATH="$PWD/.venv/bin:$PATH"

failed=()
check() { # name, command...
    local name=$1; shift
    if ! command -v "$1" >/dev/null; then
        printf '%s\n' "lint: $1 is missing; install it: .venv/bin/pip install -r requirements-dev.txt" >&2
        failed+=("$name")
    elif "$@"; then
        printf '%s\n' "lint: $name: all right"
    else
        failed+=("$name")
    fi
}

cpp() { find operator_cxx/cpu operator_cxx/cuda operator_cxx/include operator_cxx/mxnet operator_cxx/sanitizers \
    \( -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print; }

check 'ruff' ruff check .
check 'ruff format' ruff format --check .
check 'mypy' mypy
mapfile -t sources < <(cpp)
check 'clang-format' clang-format --dry-run --Werror "${sources[@]}"
check 'shell scripts' bash -n setup.sh .ci/run tools/*.sh
check 'hadolint' hadolint docker/Dockerfile docker/Dockerfile.gpu

if [ ${#failed[@]} -gt 0 ]; then
    printf '%s\n' "lint: FAILED: ${failed[*]}" >&2
    exit 1
fi
