# shellcheck shell=bash
# Sourced by every script of the recipe, with the recipe as current directory:
# makes the Python environment on first use, activates it, sets what ESPnet needs.
#
# ADAPRUNE_VENV names another environment than .venv at the repository root; one
# that this recipe did not make is used as it is.

adaprune_recipe=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
ADAPRUNE_ROOT=$(cd "${adaprune_recipe}/../../.." && pwd -P)
export ADAPRUNE_ROOT

if [ "${ADAPRUNE_READY:-}" != "${ADAPRUNE_ROOT}" ]; then
    if [ -z "${ADAPRUNE_VENV:-}" ]; then
        # Instant when the environment is complete and setup.py has not changed.
        bash "${adaprune_recipe}/local/setup_env.sh" || exit 1
    fi
    adaprune_activate=${ADAPRUNE_VENV:-${ADAPRUNE_ROOT}/.venv}/bin/activate
    if [ ! -f "${adaprune_activate}" ]; then
        echo "path.sh: no Python environment at ${adaprune_activate%/bin/activate}" >&2
        exit 1
    fi
    # activate scripts of older virtualenvs read unset variables
    set +u
    # shellcheck disable=SC1090
    . "${adaprune_activate}"
    set -u
    unset adaprune_activate
    export PYTHONPATH=${ADAPRUNE_ROOT}${PYTHONPATH:+:${PYTHONPATH}}
    if [ -n "${ESPNET_ROOT:-}" ]; then
        # what ESPnet's own stages call by name: run.pl, spm_train, sclite
        export PATH=${PWD}/utils:${ESPNET_ROOT}/tools/sentencepiece_commands:${ESPNET_ROOT}/tools/sctk/bin:${PATH}
        export PYTHONPATH=${PYTHONPATH}:${ESPNET_ROOT}
    fi
    export ADAPRUNE_READY=${ADAPRUNE_ROOT}
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
