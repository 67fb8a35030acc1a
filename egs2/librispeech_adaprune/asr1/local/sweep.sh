#!/usr/bin/env bash
# Cuts one trained model to several sizes and scores each: run.sh's training, many sizes.
#
#   ./run.sh                                            # trains (stages 1 to 11), ...
#   local/sweep.sh --asr_exp exp/asr_train_... --model_file valid.final_acc.ave.pth
#
# Validation is on the training's own validation data; the corpus that run.sh noted in
# the experiment says which test sets there are and how they are decoded. What is there
# from an earlier run is kept, so that it can be interrupted, or go on with more sizes.
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/sweep.sh --asr_exp exp/NAME --model_file CHECKPOINT [options]
  --asr_exp DIR              experiment of the trained model
  --model_file NAME          checkpoint in it, such as valid.final_loss.ave.pth
  --target_reductions LIST   shares of the encoder's parameters (0.2 0.3 0.4 0.5 0.6 0.7)
  --criterion NAME           what decides: retention (default; what the training
                             learnt), magnitude, taylor, random
  --decode BOOL              decode and score the test sets as well (true)
  --test_sets LIST           sets below --dumpdir; default: the corpus's
  --inference_config FILE    default: the corpus's
  --dumpdir DIR              where the prepared sets are (dump/raw)
  --nj N                     parallel decoding jobs; default: one a processor
  --ngpu N                   0 or 1: score on the GPU (0)
  --output_dir DIR           default: exp/NAME_sweep, criterion added where given"
asr_exp=
model_file=
target_reductions="0.2 0.3 0.4 0.5 0.6 0.7"
criterion=
decode=true
test_sets=
inference_config=
dumpdir=dump/raw
nj=
ngpu=0
output_dir=
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
[ -n "${model_file}" ] || die "--model_file is required"
# shellcheck source=/dev/null
. ./path.sh

need "${asr_exp}/config.yaml" 11
need "${asr_exp}/${model_file}" 11

# corpus_setting NAME: a variable of local/corpus_settings.sh for the corpus that the
# model was trained on
corpus_setting() (
    # shellcheck disable=SC2034  # read by the sourced file
    read -r corpus corpus_dir < <(cat "${asr_exp}/.corpus" 2> /dev/null || echo toy)
    # shellcheck disable=SC2034
    baseline=false
    # shellcheck source=/dev/null
    . local/corpus_settings.sh
    echo "${!1}"
)

: "${output_dir:=${asr_exp}_sweep${criterion:+_${criterion}}}"
options=(--ngpu "${ngpu}")
[ -z "${criterion}" ] || options+=(--criterion "${criterion}")
if [ "${decode}" = true ]; then
    : "${test_sets:=$(corpus_setting test_names)}"
    : "${inference_config:=conf/$(corpus_setting decoder).yaml}"
    : "${nj:=$(env -u OMP_NUM_THREADS nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)}"
    options+=(--inference_config "${inference_config}" --nj "${nj}" --test_sets)
    for name in ${test_sets}; do
        need "${dumpdir}/${name}/wav.scp" 3
        need_audio "${dumpdir}/${name}/wav.scp"
        options+=("${dumpdir}/${name}")
    done
fi
log "sweep: ${asr_exp}/${model_file} -> ${output_dir}"
# shellcheck disable=SC2086
python3 -m espnet_adaptive_dropout.bin.sweep --train_config "${asr_exp}/config.yaml" \
    --model_file "${asr_exp}/${model_file}" --output_dir "${output_dir}" \
    --target_reduction ${target_reductions} "${options[@]}"
