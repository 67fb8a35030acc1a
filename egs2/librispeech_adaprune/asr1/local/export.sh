#!/usr/bin/env bash
# Writes the encoder of a model as ONNX and measures its int8 forms.
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/export.sh --asr_exp exp/NAME --model_file CHECKPOINT [options]
  --asr_exp DIR        experiment of the pruned model, or of a stock Conformer
  --model_file NAME    checkpoint in it, such as valid.final_acc.ave.pth
  --onnx BOOL          write ONNX files (true)
  --int8 BOOL          int8 forms, too (true)
  --measure_time BOOL  time the forms (true)
  --output_dir DIR     default: exp/NAME/export
  --force BOOL         even if the result is there and newer (default: true)"
asr_exp=
model_file=
onnx=true
int8=true
measure_time=true
output_dir=
force=true
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
[ -n "${model_file}" ] || die "--model_file is required"
# shellcheck source=/dev/null
. ./path.sh

: "${output_dir:=${asr_exp}/export}"
need "${asr_exp}/config.yaml" 11
need "${asr_exp}/${model_file}" 11
if [ "${force}" = false ] \
    && up_to_date "${output_dir}/export.json" "${asr_exp}/${model_file}"; then
    log "${output_dir} is there and newer than ${asr_exp}/${model_file}"
    exit 0
fi
log "export: ${asr_exp}/${model_file} -> ${output_dir}"
python3 -m espnet_adaptive_dropout.bin.export --train_config "${asr_exp}/config.yaml" \
    --model_file "${asr_exp}/${model_file}" --output_dir "${output_dir}" \
    --onnx "${onnx}" --int8 "${int8}" --measure_time "${measure_time}"
