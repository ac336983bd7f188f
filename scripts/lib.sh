# Sourced by the scripts: changes to the checkout, defines progress lines, makes .venv from the lock.
# shellcheck shell=bash
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MLFLOW_DISABLE_TELEMETRY=true
export SHELL_NO_PROXY=${no_proxy:-${NO_PROXY:-}} # what ./scripts/doctor looks at

say() { echo "==> $*"; }

# fail STATUS WHAT: one clear message; status 1 says that it failed, 2 that the usage was wrong
fail() {
    echo "$(basename "$0"): $2" >&2
    exit "$1"
}

# usage_if_asked ARGUMENTS: the comment at the top of a script is its usage
usage_if_asked() {
    case "${1:-}" in -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    esac
}

# setting NAME: print its value, from the environment or else from .env; works before there is a Python
setting() {
    if [ -n "${!1:-}" ] || [ ! -f .env ]; then
        printf '%s\n' "${!1:-}"
    else
        sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1[[:space:]]*=[[:space:]]*//p" .env | tail -n 1 |
            sed -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//' -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'\$/\1/"
    fi
}

# Where ./scripts/vendor puts packages; empty for a script that must use the network.
vendor=vendor
# The stack's own addresses are never behind a proxy.
NO_PROXY=$(setting NO_PROXY)
NO_PROXY=localhost,127.0.0.1,${NO_PROXY:-${no_proxy:-}}
export NO_PROXY no_proxy=$NO_PROXY

# find_python: print a Python of a version that the lock supports
find_python() {
    local candidate candidates=(python3.13 python3.12 python3.11 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail 1 "no Python to use: expected 3.11, 3.12 or 3.13, found $({ "${candidates[@]: -1}" --version 2>&1 || true; } | head -n 1); install one, or set PYTHON to its path"
}

# use_packages_from [VENDOR]: let pip and uv take packages from there, or from where the settings say
use_packages_from() {
    local name value
    for name in PACKAGE_INDEX CA_CERTIFICATES HTTP_PROXY HTTPS_PROXY; do
        value=$(setting $name)
        [ -z "$value" ] || export "$name=$value"
    done
    . lock/sources.sh
    use_sources "${1:-}"
}

# The user's own settings of pip may say where to install. Here, it is always .venv; PIP_USER may come from a file.
unset PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER=0

# install_locked PYTHON LOCK...: into .venv, from $vendor if that is filled
install_locked() {
    use_packages_from "$vendor" || return 1
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$1" -m venv --clear .venv >&2 || {
        echo "can't make a virtual environment; on Debian: apt-get install python3-venv" >&2
        return 1
    }
    # shellcheck disable=SC2086 # options
    .venv/bin/python -m pip install $packages_from --quiet --disable-pip-version-check --no-deps --require-hashes -r lock/bootstrap.txt &&
        .venv/bin/uv pip sync $packages_from --quiet --python .venv/bin/python --compile-bytecode --require-hashes "${@:2}" &&
        cp lock/quick.pth .venv/lib/python3.*/site-packages/ &&
        return
    [ -z "$packages_from" ] || echo "pip and uv looked in $vendor/ only; if it is older than lock/, or was made for another platform or Python, fill it again with ./scripts/vendor, or remove $vendor/wheels" >&2
    return 1
}

# make_environment PYTHON DIRECTORY NEEDS: make a virtual environment for a model; stack/modes/native_environment.py calls it
make_environment() {
    use_packages_from "$vendor" && .venv/bin/uv venv --quiet --relocatable --python "$1" "$2" &&
        install_environment .venv/bin/uv "$2/bin/python" "$3" "$2/packages.txt" && cp lock/quick.pth "$2"/lib/python3.*/site-packages/
}

# make_aside NAME DIRECTORY: put there what lock/NAME.txt pins; stack/modes/aside.py calls it. vendor/ does not have it.
make_aside() {
    use_packages_from && install_aside .venv/bin/uv .venv/bin/python "lock/$1.txt" "$2"
}

# use_venv [dev]: make .venv from the lock, or bring it up to date; usually there is nothing to do
use_venv() {
    local locks=(lock/runtime.txt) wanted installed
    [ "${1:-}" != dev ] || locks+=(lock/dev.txt)
    installed=$(cat .venv/installed 2>/dev/null || true)
    wanted=$(cat lock/runtime.txt lock/dev.txt lock/bootstrap.txt lock/quick.pth | cksum)
    case "$installed" in "$wanted dev" | "$wanted ${1:-runtime}") [ ! -x .venv/bin/python ] || return 0 ;; esac
    local python since=$SECONDS
    case "$PWD" in *:*) fail 1 "the path $PWD has a colon, and Python can make no virtual environment there; move or clone the checkout to a path without one, or start the stack by: docker compose up" ;; esac
    python=$(find_python)
    say "installing the locked packages into .venv (once, about 20 s)" >&2
    rm -f .venv/installed
    # In a subshell: the proxies and certificates are not for the stack itself.
    (install_locked "$python" "${locks[@]}") ||
        fail 1 "installing the packages failed, see above; remove the cause and run this again"
    echo "$wanted ${1:-runtime}" >.venv/installed
    echo "    done in $((SECONDS - since)) s" >&2
}

# verb NAME ARGUMENTS: run that verb of the stack; `-h` needs no packages
verb() {
    case "${2:-}" in -h | --help) exec "$(find_python)" -m stack "$@" ;; esac
    use_venv
    exec .venv/bin/python -m stack "$@"
}
