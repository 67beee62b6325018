#!/usr/bin/env bash
# Everything from a bare machine: a virtual environment in .venv, pinned packages, the project's operators, a self-test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
usage: ./setup.sh [--cpu | --gpu] [--torch] [command]

  (no command)    set up .venv, build the operators and run the self-test; a second run takes seconds
  demo [...]      the same, then detect the test images of the generated data set and write pictures to output/demo
                  (arguments go to 'dcn demo', for example: ./setup.sh demo --train)
  test [...]      the same, then run the tests; 'test --full' adds every network at real size
                  (further arguments go to pytest, for example: ./setup.sh test tests/bbox)

  --cpu, --gpu    install the CPU or the GPU build of MXNet, whatever was detected
  --torch         install PyTorch too, for --engine torch: training and testing on the GPUs of today (Python 3.10 or newer)
  PYTHON=/path/to/python ./setup.sh    use this Python (3.8 to 3.11) and look no further
TEXT
}

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

# A name on PATH can be a dead shim, and a Python can lack venv or ensurepip: only running it tells.
probe_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 11))' >/dev/null 2>&1
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then printf '%s\n' "$PYTHON"; return; fi
    local name
    for name in python3.11 python3.10 python3.9 python3.8 python3 python; do
        type -aP "$name" 2>/dev/null || true
    done
    if [ -d "${PYENV_ROOT:-$HOME/.pyenv}/versions" ]; then
        ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.{11,10,9,8}.*/bin/python 2>/dev/null || true
    fi
}

find_python() {
    local candidate
    while IFS= read -r candidate; do
        if probe_python "$candidate"; then printf '%s\n' "$candidate"; return 0; fi
    done < <(candidates)
    return 1
}

no_python_sentence() {
    local advice='install Python 3.11 with its venv module, or the program uv (https://docs.astral.sh/uv), and run ./setup.sh again'
    if [ -r /etc/os-release ] && grep -qiE '^(ID|ID_LIKE)=.*(debian|ubuntu)' /etc/os-release; then
        advice="run 'apt-get install python3 python3-venv python3-dev g++' (where python3 is 3.12 or newer, install the program uv instead), then ./setup.sh again"
    fi
    printf 'no working Python 3.8 to 3.11 with venv and ensurepip found; %s' "$advice"
}

make_environment() {
    if [ -x .venv/bin/python ] && probe_python .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    local python
    rm -rf .venv
    if python=$(find_python); then
        say "creating .venv with $python ($("$python" -c 'import platform; print(platform.python_version())'))"
        "$python" -m venv .venv
    elif [ -z "${PYTHON:-}" ] && command -v uv >/dev/null 2>&1; then
        say 'no working Python 3.8 to 3.11 found; uv provides Python 3.11'
        uv venv --quiet --seed --python 3.11 .venv || die "uv could not provide Python 3.11; $(no_python_sentence)"
    elif [ -n "${PYTHON:-}" ]; then
        die "PYTHON=$PYTHON is no working Python 3.8 to 3.11 with venv and ensurepip; name another one or leave PYTHON unset"
    else
        die "$(no_python_sentence)"
    fi
}

# MXNet's GPU build holds machine code for compute capability 5.0 to 8.9 and nothing that a newer GPU could translate.
detect_device() {
    local answer
    if ! command -v nvidia-smi >/dev/null 2>&1; then echo cpu; return; fi
    answer=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>&1 | head -n 1) || true
    case "$answer" in
        [5-8].[0-9]) echo gpu; return ;;
        [0-9]*.[0-9]*) say "the GPU has compute capability $answer, but MXNet 1.9.1 holds machine code for 5.0 to 8.9 only and nothing that another GPU could run: taking the CPU" >&2 ;;
        'No devices were found'*) ;;
        *) say "nvidia-smi does not tell the compute capability of the GPU (it says: $answer): taking the CPU; if it is 5.0 to 8.9, run ./setup.sh --gpu" >&2 ;;
    esac
    echo cpu
}

install_packages() {
    local device=$1 requirements=requirements.txt other=mxnet-cu112 size='' stamp want
    if [ "$device" = gpu ]; then
        requirements=requirements-gpu.txt other=mxnet size=' and the CUDA libraries, 4.3 GB on disk'
    fi
    stamp=.venv/installed
    want="$device $(cat requirements*.txt pyproject.toml setup.py setup.sh | cksum)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return; fi
    rm -f "$stamp"
    say "installing pinned packages ($device build of MXNet$size); this takes a minute or two"
    .venv/bin/python -m pip uninstall -q -y "$other" >/dev/null 2>&1 || true   # the two share one folder
    pip_install -r "$requirements"
    pip_install --no-deps gluoncv==0.10.5.post0   # its dependencies would bring a second OpenCV
    pip_install --no-deps --no-build-isolation -e .
    printf '%s\n' "$want" > "$stamp"
}

install_torch() {
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || die "PyTorch needs Python 3.10 or newer, .venv has $(.venv/bin/python -c 'import platform; print(platform.python_version())'); remove .venv and run PYTHON=/path/to/python3.11 ./setup.sh --torch"
    if .venv/bin/python -c 'import sys, torch; pin = "torch==" + torch.__version__.split("+")[0]; sys.exit(pin not in open("requirements-torch.txt").read().split())' 2>/dev/null; then return; fi
    say 'installing PyTorch'
    pip_install -r requirements-torch.txt
}

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" \
        || die "pip could not install '$*': its message above says why; run ./setup.sh again when that is mended"
}

# One process a core with one thread each; more than four would want too much memory at real sizes.
run_tests() {
    local workers
    workers=$(.venv/bin/python -c 'import os; print(min(4, len(os.sched_getaffinity(0))))')
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" exec .venv/bin/python -m pytest -q -n "$workers" "$@"
}

main() {
    local device='' command='' torch=''
    while [ $# -gt 0 ]; do
        case "$1" in
            --cpu) device=cpu ;;
            --gpu) device=gpu ;;
            --torch) torch=yes ;;
            -h|--help) usage; exit 0 ;;
            demo|test) command=$1; shift; break ;;
            *) usage >&2; die "unknown argument '$1'" ;;
        esac
        shift
    done
    make_environment
    install_packages "${device:-$(detect_device)}"
    if [ -n "$torch" ]; then install_torch; fi
    .venv/bin/python operator_cxx/build.py || say 'the operators could not be built (see above): going on with the stock ones'
    .venv/bin/python -W ignore::RuntimeWarning -m dcn.operators.selftest   # what is not built was just said
    case "$command" in
        demo) exec .venv/bin/dcn demo "$@" ;;
        test) run_tests "$@" ;;
        *) say "done; activate with 'source .venv/bin/activate', then 'dcn --help'; or run './setup.sh demo'" ;;
    esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi   # not where .ci/run or a test reads the functions
