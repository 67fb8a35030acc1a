#!/usr/bin/env bash
# Cuts out of a model trained with adaptive dropout the units that it does not need.
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/prune.sh --asr_exp exp/NAME --model_file CHECKPOINT [options]
  --asr_exp DIR             experiment of the trained model
  --model_file NAME         checkpoint in it, such as valid.final_loss.ave.pth
  --target_reduction SHARE  of the encoder's parameters; default: the trained one
  --criterion NAME          what decides; default: what the training learnt
  --output_dir DIR          default: exp/NAME_compact, share and criterion added where given
  --force BOOL              even if the result is there and newer (default: true)"
asr_exp=
model_file=
target_reduction=
criterion=
output_dir=
force=true
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
[ -n "${model_file}" ] || die "--model_file is required"
# shellcheck source=/dev/null
. ./path.sh

: "${output_dir:=${asr_exp}_compact${target_reduction}${criterion:+_${criterion}}}"
need "${asr_exp}/config.yaml" 11
need "${asr_exp}/${model_file}" 11

if [ "${force}" = false ] \
    && up_to_date "${output_dir}/${model_file}" "${asr_exp}/${model_file}"; then
    log "${output_dir} is there and newer than ${asr_exp}/${model_file}"
    exit 0
fi
options=()
[ -z "${target_reduction}" ] || options+=(--target_reduction "${target_reduction}")
[ -z "${criterion}" ] || options+=(--criterion "${criterion}")
log "pruning: ${asr_exp}/${model_file} -> ${output_dir}"
python3 -m espnet_adaptive_dropout.bin.prune --train_config "${asr_exp}/config.yaml" \
    --model_file "${asr_exp}/${model_file}" --output_dir "${output_dir}" "${options[@]}"
