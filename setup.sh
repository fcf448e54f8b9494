#!/usr/bin/env bash
# Prepares this folder for grading: a virtual environment in .venv and verified MNIST in data.
# Safe to run again; takes seconds when nothing is to do.
#
#   ./setup.sh         what grading needs (Gradescope runs this, as root, at image build)
#   ./setup.sh --class also what regrading a class needs, on staff's machines
#   ./setup.sh --dev   also what the harness's own tests need
#
# Releases are those of requirements.lock, so that a later set-up is the same as today's.
# PYTHON=/path/to/python3 chooses the interpreter (3.10 or newer).
set -euo pipefail
umask 022 # the process that runs a submission is another user, and needs torch
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CPU_TORCH_INDEX="https://download.pytorch.org/whl/cpu"
readonly CPU_TORCH_SECONDS=5 # how long to wait for that index before doing without

main() {
    local extra=""
    case "${1:-}" in
        "") ;;
        --class) extra="[class]" ;;
        --dev) extra="[dev]" ;;
        *) fail "Unknown option $1. Usage: ./setup.sh [--class | --dev]" ;;
    esac
    install_system_packages
    make_environment
    install_packages "$extra"
    .venv/bin/python -I -m autograder.hw5.mnist || fail "MNIST is not complete; see above."
    close_secrets
    say "Ready. Grade a submission: ./run_autograder FOLDER_OR_ZIP"
}

say() { printf '==> %s\n' "$*"; }
fail() { printf '!!! %s\n' "$*" >&2; exit 1; }

# On the platform (root, under /autograder) a bare Ubuntu or Debian lacks what venv needs.
install_system_packages() {
    [[ $EUID -eq 0 && $PWD == /autograder/* ]] || return 0
    local missing=() package
    for package in python3 python3-venv ca-certificates; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "System packages: ${missing[*]}"
    apt-get update -qq || fail "apt-get update failed: is the network reachable?"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        || fail "apt-get could not install ${missing[*]}."
}

# An interpreter that every user can read: the process that runs a submission is another user.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10; do
        [[ -n $candidate ]] && command -v "$candidate" >/dev/null || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "No Python 3.10 or newer with venv was found. Install python3 and python3-venv, or set PYTHON."
}

make_environment() {
    if [[ -x .venv/bin/python ]] && .venv/bin/python -c 'import pip' 2>/dev/null; then
        return
    fi
    local python
    python=$(find_python)
    say "Virtual environment: .venv, with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "$python could not make a virtual environment."
}

install_packages() {
    local stamp=.venv/installed wanted
    wanted="$(sha256sum pyproject.toml requirements.lock | tr '\n' ' ')$PWD $1"
    if [[ -f $stamp && $(<"$stamp") == "$wanted" ]] ||
        { [[ $1 != "[dev]" && -f $stamp && $(<"$stamp") == "${wanted%"$1"}[dev]" ]]; } ||
        { [[ -z $1 && -f $stamp && $(<"$stamp") == "${wanted}[class]" ]]; }; then
        say "Packages: there already"
        return
    fi
    install_torch
    say "Packages: the rest"
    pip_install_locked --editable ".$1" || fail "pip could not install the packages; see above."
    printf '%s' "$wanted" >"$stamp"
}

# The CPU build is a tenth of the default one's size and memory.
install_torch() {
    local torch
    torch=$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
    if .venv/bin/python -c "import importlib.metadata as m, sys; sys.exit('$torch' != 'torch==' + m.version('torch').split('+')[0])" 2>/dev/null; then
        return
    fi
    if cpu_index_answers; then
        say "PyTorch: $torch, CPU build"
        # What torch needs comes with the rest: that index lacks some of the locked releases.
        pip_install --no-deps --index-url "$CPU_TORCH_INDEX" "$torch" && return
    fi
    say "PyTorch: $torch from the default index (the CPU index was not reached)"
    pip_install_locked "$torch" || fail "pip could not install $torch; see above."
}

cpu_index_answers() {
    .venv/bin/python - "$CPU_TORCH_INDEX/torch/" "$CPU_TORCH_SECONDS" <<'PYTHON' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read(1)
PYTHON
}

pip_install_locked() {
    pip_install --constraint requirements.lock "$@"
}

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off "$@"
}

# Where a submission runs as another user, this is what it must not read.
close_secrets() {
    [[ $EUID -eq 0 ]] || return 0
    local secret
    for secret in autograder tests solutions; do
        [[ ! -e $secret ]] || chmod -R go-rwx "$secret"
    done
    chmod 600 data/MNIST/raw/t10k-labels-idx1-ubyte
}

main "$@"
