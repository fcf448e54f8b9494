#!/usr/bin/env bash
# Prepares this folder for grading: a virtual environment in .venv and verified MNIST in data.
# Safe to run again; takes seconds when nothing is to do.
#
#   ./setup.sh         what grading needs (Gradescope runs this, as root, at image build)
#   ./setup.sh --class also what regrading a class needs, on staff's machines
#   ./setup.sh --dev   also what the harness's own tests need
#   ./setup.sh --cuda  with PyTorch's CUDA build where its CPU build can't be had
#
# Releases are those of requirements.lock, so that a later set-up is the same as today's.
# PYTHON=/path/to/python3 chooses the interpreter (3.10 or newer), TORCH_INDEX=https://… another
# index of PyTorch's CPU builds. run_autograder grades only once this has come to its end.
set -euo pipefail
umask 022 # the process that runs a submission is another user, and needs torch
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly CPU_TORCH_INDEX="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
readonly CPU_TORCH_SECONDS=5 # how long to wait for that index, each time
readonly CPU_TORCH_TRIES=3
readonly READY=.venv/ready # stands once a set-up is complete; run_autograder looks for it
readonly NOBODY=65534      # a user without rights, as the one that runs a submission
cuda=""

main() {
    local extra="" option
    for option in "$@"; do
        case "$option" in
            --class) extra="[class]" ;;
            --dev) extra="[dev]" ;;
            --cuda) cuda=yes ;;
            *) fail "Unknown option $option. Usage: ./setup.sh [--class | --dev] [--cuda]" ;;
        esac
    done
    rm -f "$READY"
    install_system_packages
    make_environment
    check_reach "import venv" # before minutes of downloads
    install_packages "$extra"
    .venv/bin/python -I -m autograder.hw5.mnist || fail "MNIST is not complete; see above."
    close_secrets
    check_reach "import numpy"
    : >"$READY"
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

# An interpreter that every user can run: the process that runs a submission is another user.
find_python() {
    local candidate path skipped=""
    for candidate in "${PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10; do
        [[ -n $candidate ]] && path=$(command -v "$candidate") || continue
        "$path" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
            continue
        if others_run "$path" "import venv"; then
            echo "$path"
            return
        fi
        skipped+=" $path (behind $(closed_folder "$path"))"
        [[ $candidate != "${PYTHON:-}" ]] || break
    done
    [[ -z $skipped ]] ||
        fail "Submissions run as a user without rights, who can't reach$skipped. Set PYTHON to an interpreter that every user can run, such as /usr/bin/python3."
    fail "No Python 3.10 or newer with venv was found. Install python3 and python3-venv, or set PYTHON."
}

# Whether a user without rights can run an interpreter and a statement in it. Only root has
# submissions run as another user.
others_run() {
    [[ $EUID -eq 0 ]] || return 0
    "$1" -I -c '
import os, sys
os.chdir("/")
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
os.execv(sys.argv[3], [sys.argv[3], "-I", "-c", sys.argv[1]])' \
        "$2" "$NOBODY" "$(realpath -s "$1")" >/dev/null 2>&1
}

# The outermost folder on the way to a file that others can't enter; the file where there is none.
closed_folder() {
    local target path="" part
    for target in "$(realpath -s "$1")" "$(realpath "$1")"; do
        path=""
        while IFS= read -r -d / part; do
            path+="$part/"
            if [[ -d $path ]] && (($(stat -c '0%a' "$path") % 2 == 0)); then
                echo "$path"
                return
            fi
        done <<<"$target"
    done
    echo "$1"
}

check_reach() {
    others_run .venv/bin/python "$1" && return
    fail "Submissions run as a user without rights, who can't reach $PWD/.venv or its interpreter, behind $(closed_folder .venv/bin/python). Move this folder to where every user can enter, such as /opt; if it is the interpreter, remove .venv and set PYTHON to another."
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

# The CPU build is a tenth of the CUDA build's size and memory, and nothing here uses a GPU.
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
    # A mirror may have the CPU build under its own name; where there is none, pip knows at once.
    if pip_install_locked "$torch+cpu" 2>/dev/null; then
        say "PyTorch: $torch, CPU build of pip's own index"
        return
    fi
    cuda_is_wanted ||
        fail "PyTorch's CPU build can't be had: neither $CPU_TORCH_INDEX nor pip's own index gave one. What pip would install is the CUDA build, about 4.9 GB on disk, which grading doesn't use. Try again later, name a mirror with TORCH_INDEX=https://…, or accept it: ./setup.sh --cuda"
    say "PyTorch: $torch from pip's own index"
    pip_install_locked "$torch" || fail "pip could not install $torch; see above."
}

cpu_index_answers() {
    local try
    for ((try = 0; try < CPU_TORCH_TRIES; try++)); do
        .venv/bin/python - "$CPU_TORCH_INDEX/torch/" "$CPU_TORCH_SECONDS" <<'PYTHON' 2>/dev/null && return
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read(1)
PYTHON
    done
    return 1
}

cuda_is_wanted() {
    local answer
    [[ -z $cuda ]] || return 0
    [[ -t 0 && -t 2 ]] || return 1
    read -r -p "PyTorch's CPU build can't be had. Install the CUDA build, about 4.9 GB? [y/N] " answer
    [[ $answer == [yY]* ]]
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

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@" # a test may source it, and call what it wants
