#!/usr/bin/env bash
# Makes, completes and reuses the Python environment .venv at the repository root.
#
#   local/setup_env.sh [--with-tests] [--python VERSIONS] [--venv DIR]
#
#   --with-tests       what the tests need, too
#   --python VERSIONS  choose among these, best first: "3.11 3.10 3.9" gives ESPnet
#                      202511 (default: "3.13 3.12 3.11 3.10 3.9")
#   --venv DIR         make this environment instead; DIR is relative to the root
#
# asr.sh and what it calls are put beside the packages (see espnet_scripts.py), unless
# ESPNET_ROOT names a checkout.
#
# Takes the first of these versions that runs on this machine, and ends with status 3
# if none does.  Instant when the environment is complete and setup.py has not changed;
# an interrupted installation goes on where it stopped; two calls at once wait for one
# another.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(cd "${here}/../../../.." && pwd -P)
venv=${root}/.venv
supported="3.13 3.12 3.11 3.10 3.9"   # best first
wanted=${supported}

die() { echo "setup_env.sh: $*" >&2; exit "${exit_status:-1}"; }
say() { echo "setup_env.sh: $*" >&2; }

extras=recipe
while [ $# -gt 0 ]; do
    case "$1" in
        --with-tests) extras=recipe,test ;;
        --python | --venv)
            [ -n "${2:-}" ] || die "$1 needs a value"
            if [ "$1" = --python ]; then
                wanted=$2
            else
                case "$2" in /*) venv=$2 ;; *) venv=${root}/$2 ;; esac
            fi
            shift
            ;;
        *) die "unknown option $1; there are --with-tests, --python and --venv" ;;
    esac
    shift
done
for version in ${wanted}; do
    case " ${supported} " in
        *" ${version} "*) ;;
        *) die "--python ${version}: choose among ${supported}" ;;
    esac
done
marker=${venv}/.complete
log=${venv}/setup.log
[ -f "${root}/setup.py" ] || die "${root}/setup.py is missing: not a whole checkout?"
key=$(cksum < "${root}/setup.py")   # in POSIX, unlike sha256sum and shasum
key=${key// /-}

is_complete() {
    [ -f "${marker}" ] || return 1
    local done_key done_extras done_version
    read -r done_key done_extras done_version < "${marker}" || return 1
    [ "${done_key}" = "${key}" ] || return 1
    case " ${wanted} " in *" ${done_version:-none} "*) ;; *) return 1 ;; esac
    [ "${done_extras}" = "${extras}" ] || [ "${done_extras}" = recipe,test ]
}

# Prints the version X.Y when this interpreter really runs and can make
# environments: a shim may be there without its Python, Debian's may lack ensurepip.
usable_version() {
    "$1" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' \
        2> /dev/null || true
}

find_python() {
    local version candidate
    for version in ${wanted}; do
        for candidate in "python${version}" \
            /usr/local/bin/"python${version}" /usr/bin/"python${version}" \
            "${HOME:-/root}"/.pyenv/versions/"${version}".*/bin/python \
            "${HOME:-/root}"/.local/share/uv/python/cpython-"${version}".*/bin/python3 \
            /opt/homebrew/bin/"python${version}" python3; do
            command -v "${candidate}" > /dev/null || continue
            if [ "$(usable_version "${candidate}")" = "${version}" ]; then
                echo "${candidate}"
                return
            fi
        done
    done
}

make_venv() {
    local version python
    version=$(usable_version "${venv}/bin/python")
    case " ${wanted} " in
        *" ${version:-none} "*)
            [ -x "${venv}/bin/pip" ] && return
            ;;
    esac
    python=$(find_python)
    [ -n "${python}" ] || exit_status=3 die "no usable Python ${wanted// /, } found (with" \
        "venv and ensurepip; on Debian: apt-get install python3-venv)"
    version=$(usable_version "${python}")
    say "making ${venv} with Python ${version} (${python})"
    "${python}" -m venv --clear "${venv}" || die "${python} -m venv ${venv} failed"
}

# Runs pip, shows which packages it works on, keeps the rest in the log.
pip_install() {
    local status=0
    "${venv}/bin/python" -m pip install --progress-bar off "$@" 2>&1 \
        | tee -a "${log}" \
        | { grep --line-buffered -E '^(Collecting|  Downloading|Installing|ERROR)' \
            | cut -c 1-110 >&2 || true; } || status=$?
    [ "${status}" -eq 0 ] || die "pip install $* failed:" \
        "$(grep -E '^ERROR' "${log}" | tail -n 1); the whole log is ${log}"
}

install_packages() {
    local version
    version=$(usable_version "${venv}/bin/python")
    echo "=== $(date): Python ${version}, extras ${extras}" >> "${log}"
    case "${version}" in
        3.12 | 3.13) pip_install --upgrade pip ;;
        # ESPnet 202511 needs ci_sdr, whose metadata name optional dependencies by URL:
        # pip refuses such packages from 26.3 on.
        *) pip_install --upgrade "pip<26.3" "setuptools<74" wheel ;;
    esac
    say "installing espnet_adaptive_dropout[${extras}]: some minutes the first time"
    pip_install -e "${root}[${extras}]"
    "${venv}/bin/python" -c "import espnet2" 2>> "${log}" \
        || die "the installed ESPnet cannot be imported; see ${log}"
    # asr.sh and what it calls, so that no network is needed afterwards; ESPnet 202511
    # has none on PyPI. What cannot be fetched now, run.sh will ask for again.
    case "${version}" in
        3.12 | 3.13)
            [ -n "${ESPNET_ROOT:-}" ] \
                || "${venv}/bin/python" "${here}/espnet_scripts.py" > /dev/null || true
            ;;
    esac
}

is_complete && exit 0
exec 9< "${root}"
if command -v flock > /dev/null && ! flock --nonblock 9; then
    say "another setup_env.sh is at work, waiting for it"
    flock 9
    is_complete && exit 0
fi
make_venv
rm -f "${marker}"
install_packages
echo "${key} ${extras} $(usable_version "${venv}/bin/python")" > "${marker}.tmp"
mv "${marker}.tmp" "${marker}"
say "environment complete: ${venv}"
