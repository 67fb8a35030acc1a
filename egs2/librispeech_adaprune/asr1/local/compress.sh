#!/usr/bin/env bash
# Makes a model that exists smaller, in the environment of this recipe.
#   local/compress.sh MODEL [OPTION...]
# MODEL and the options are those of "adaprune compress" (--help lists them), run from the
# recipe directory. Without --output_dir the result is exp/NAME_compressed, and without
# --data an experiment is compressed on its own training data.
set -euo pipefail

die() { echo "compress.sh: error: $*" >&2; exit 1; }

[ -f local/path.sh ] || die "run it from the recipe directory: local/compress.sh MODEL"
[ $# -ge 1 ] || die "usage: local/compress.sh MODEL [OPTION...]; --help lists the options"
# shellcheck source=/dev/null
. ./path.sh
name=$(basename "$1")
output=(--output_dir "exp/${name%.zip}_compressed")
for word in "$@"; do
    case ${word} in --output_dir | --output_dir=*) output=() ;; esac
done
exec python3 -m espnet_adaptive_dropout.bin.compress "$@" "${output[@]}"
