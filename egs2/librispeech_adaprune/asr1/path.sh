# shellcheck shell=bash
# Sourced by asr.sh and by the recipe's own scripts, with the recipe as the current
# directory: finds the Python environment and ESPnet's scripts. See run.sh --help for
# ESPNET_ROOT and ADAPRUNE_VENV.

adaprune_recipe=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
adaprune_repository=$(cd "${adaprune_recipe}/../../.." && pwd -P)
[ -f "${adaprune_repository}/espnet_adaptive_dropout/__init__.py" ] || adaprune_repository=

adaprune_use_environment() {
    local script='' found
    # ${PWD} is the directory as it was reached: a link in egs2/ counts as lying there.
    if [ -z "${ESPNET_ROOT:-}" ] && [ -f "${PWD%/*/*}/TEMPLATE/asr1/asr.sh" ]; then
        ESPNET_ROOT=${PWD%/*/*/*}
    fi
    if [ -n "${ADAPRUNE_VENV:-}" ]; then
        script=${ADAPRUNE_VENV}/bin/activate
    elif [ -f "${ESPNET_ROOT:-}/tools/activate_python.sh" ]; then
        script=${ESPNET_ROOT}/tools/activate_python.sh
    elif [ -n "${adaprune_repository}" ]; then
        # Instant when the environment is complete and setup.py has not changed.
        ESPNET_ROOT=${ESPNET_ROOT:-} bash "${adaprune_recipe}/local/setup_env.sh" || exit 1
        script=${adaprune_repository}/.venv/bin/activate
    fi
    if [ -n "${script}" ] && [ ! -f "${script}" ]; then
        echo "path.sh: no Python environment at ${script%/bin/activate}" >&2
        exit 1
    fi
    set +u   # older activate scripts read unset variables
    # shellcheck disable=SC1090
    [ -z "${script}" ] || . "${script}"
    for found in python3 perl awk; do
        command -v "${found}" > /dev/null \
            || { echo "path.sh: ${found} is missing: install it" >&2; exit 1; }
    done
    if [ -n "${adaprune_repository}" ]; then
        export PYTHONPATH=${adaprune_repository}${PYTHONPATH:+:${PYTHONPATH}}
    fi
    found=$(python3 "${adaprune_recipe}/local/espnet_scripts.py" \
        --espnet_root "${ESPNET_ROOT:-}") || exit 1
    { read -r ESPNET_ROOT; read -r found || true; } <<< "${found}"
    export ESPNET_ROOT
    [ -z "${found}" ] || export PYTHONPATH=${PYTHONPATH:+${PYTHONPATH}:}${found}
    # What the stages call by name: spm_train, and sclite and lmplz where installed
    # shellcheck source=/dev/null
    [ ! -f "${ESPNET_ROOT}/tools/extra_path.sh" ] || . "${ESPNET_ROOT}/tools/extra_path.sh"
    set -u
    export PATH=${PWD}/utils:${PATH}
    # Last, for machines without sclite and sox
    export PATH=${PATH}:${adaprune_recipe}/local/bin
}

if [ "${ADAPRUNE_READY:-}" != "${PWD}" ]; then
    adaprune_use_environment
    export ADAPRUNE_READY=${PWD}
fi

export LC_ALL=C                  # the sort order that Kaldi-style files need
export PYTHONIOENCODING=UTF-8    # although LC_ALL is C
export PYTHONUTF8=1
# As in ESPnet's recipes, this has the last word.
# shellcheck source=/dev/null
. local/path.sh
