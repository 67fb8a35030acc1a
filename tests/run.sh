#!/usr/bin/env bash
# Passes the tests: makes or reuses .venv and runs pytest in it.
#   tests/run.sh [pytest options], e.g. tests/run.sh -m "not slow" -k scoring
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash egs2/librispeech_adaprune/asr1/local/setup_env.sh --with-tests
export PATH=${PWD}/.venv/bin:${PATH}
# Tests share the processors with what they start.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE PYTHONUTF8=1
exec python -m pytest --durations=10 "$@"
