# shellcheck shell=bash
# Sourced by every script of the recipe, with the recipe as current directory:
# finds the ESPnet checkout if there is one, the Python environment and the plugin.
#
# ESPNET_ROOT    an ESPnet checkout whose asr.sh, utils and scripts run the stages;
#                the one in whose egs2/ the recipe lies needs no naming. "none": no
#                checkout, not even that one.
# ADAPRUNE_VENV  the Python environment to use as it is. Without it: the one of the
#                checkout (tools/activate_python.sh); else .venv at the root of the
#                repository around the recipe, made on first use; else, for a recipe
#                copied out of its repository, the one that is active.

adaprune_recipe=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
adaprune_repository=$(cd "${adaprune_recipe}/../../.." && pwd -P)
[ -f "${adaprune_repository}/espnet_adaptive_dropout/__init__.py" ] || adaprune_repository=

# ${PWD} is the directory as it was reached: a link in egs2/ counts as lying there.
if [ -z "${ESPNET_ROOT:-}" ]; then
    ESPNET_ROOT=none
    [ ! -f "${PWD%/*/*}/TEMPLATE/asr1/asr.sh" ] || ESPNET_ROOT=${PWD%/*/*/*}
elif [ "${ESPNET_ROOT}" != none ]; then
    if [ ! -f "${ESPNET_ROOT}/egs2/TEMPLATE/asr1/asr.sh" ]; then
        echo "path.sh: ESPNET_ROOT=${ESPNET_ROOT}: no egs2/TEMPLATE/asr1/asr.sh in it;" \
            "it must be a checkout of ESPnet" >&2
        exit 1
    fi
    ESPNET_ROOT=$(cd "${ESPNET_ROOT}" && pwd)
fi
export ESPNET_ROOT

adaprune_use_environment() {
    local script=
    if [ -n "${ADAPRUNE_VENV:-}" ]; then
        script=${ADAPRUNE_VENV}/bin/activate
    elif [ -f "${ESPNET_ROOT}/tools/activate_python.sh" ]; then
        script=${ESPNET_ROOT}/tools/activate_python.sh
    elif [ -n "${adaprune_repository}" ]; then
        # Instant when the environment is complete and setup.py has not changed.
        bash "${adaprune_recipe}/local/setup_env.sh" || exit 1
        script=${adaprune_repository}/.venv/bin/activate
    fi
    if [ -n "${script}" ] && [ ! -f "${script}" ]; then
        echo "path.sh: no Python environment at ${script%/bin/activate}" >&2
        exit 1
    fi
    # activate scripts of older virtualenvs and of conda read unset variables
    set +u
    if [ -n "${script}" ]; then
        # shellcheck disable=SC1090
        . "${script}"
    fi
    if [ -f "${ESPNET_ROOT}/tools/extra_path.sh" ]; then
        # what ESPnet's stages call by name: spm_train, sclite, lmplz
        # shellcheck source=/dev/null
        . "${ESPNET_ROOT}/tools/extra_path.sh"
    fi
    set -u
    [ "${ESPNET_ROOT}" = none ] || export PATH=${PWD}/utils:${PATH}
    if [ -n "${adaprune_repository}" ]; then
        export PYTHONPATH=${adaprune_repository}${PYTHONPATH:+:${PYTHONPATH}}
    fi
    # Last, for where sclite is not installed
    export PATH=${PATH}:${adaprune_recipe}/local/bin
    adaprune_check_environment
}

# The plugin and ESPnet must be there. ESPnet's modules are those installed in the
# environment, as in its own recipes; only where they are of another version than the
# checkout, the checkout's go first, because its scripts are made for them.
adaprune_check_environment() {
    local checkout=${ESPNET_ROOT} found
    found=$(python3 "${adaprune_recipe}/local/tools/check_environment.py" \
        --espnet_root "${checkout#none}") || exit 1
    if [ "${found}" = checkout ]; then
        export PYTHONPATH=${PYTHONPATH:+${PYTHONPATH}:}${checkout}
    fi
}

if [ "${ADAPRUNE_READY:-}" != "${adaprune_recipe} ${ESPNET_ROOT}" ]; then
    adaprune_use_environment
    export ADAPRUNE_READY="${adaprune_recipe} ${ESPNET_ROOT}"
fi

export LC_ALL=C                  # the sort order that Kaldi-style files need
export PYTHONIOENCODING=UTF-8    # although LC_ALL is C
export PYTHONUTF8=1
# One thread a process: on two cores a step of the toy training takes 0.11 s with one
# thread and 0.18 to 0.25 s with two. Set ADAPRUNE_THREADS for larger models.
export OMP_NUM_THREADS=${ADAPRUNE_THREADS:-1}
# Threads that wait must sleep: with spinning ones, a training step took 5 s instead of
# 0.4 s where something else wanted the processors too.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
# As in ESPnet's recipes, a local/path.sh of the user's has the last word.
if [ -f local/path.sh ]; then
    # shellcheck source=/dev/null
    . local/path.sh
fi
