#!/usr/bin/env bash
# Passes the tests: makes or reuses .venv and runs pytest in it.
#   tests/run.sh [unit|integration|recipe ...] [pytest options]
# unit: the package in one process, without trainings (tests/unit). integration: trainings
# of seconds, ESPnet's tasks and commands, packaging, benchmarks. recipe: its scripts, and
# whole runs of it. Without a name, all three.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
places=()
while [ $# -gt 0 ]; do
    case $1 in
        unit | recipe) places+=("tests/$1") ;;
        integration) places+=(tests/integration tests/benchmarks) ;;
        *) break ;;
    esac
    shift
done
bash egs2/librispeech_adaprune/asr1/local/setup_env.sh --with-tests
export PATH=${PWD}/.venv/bin:${PATH}
# Tests share the processors with what they start.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE PYTHONUTF8=1
# Two processes; the tests of a file stay together, in the order of tests/conftest.py.
exec python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 \
    "${places[@]}" "$@"
