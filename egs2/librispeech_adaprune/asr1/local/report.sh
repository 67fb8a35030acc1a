#!/usr/bin/env bash
# Shows what a training with adaptive dropout and its pruned model are like.
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/report.sh --asr_exp exp/NAME [options]
  --asr_exp DIR        experiment of the trained model
  --pruned DIR         its pruned model; default: exp/NAME_compact where it is there
  --sweep FILES        sweep.json files, '[NAME=]FILE ...', for the size-WER curves
  --separate FILES     files of that form, of separate trainings
  --export DIR         what local/export.sh made of the pruned (or only) model;
                       default: its subdirectory export, where that is there
  --measure_time BOOL  time the encoders (true)
  --pdf BOOL           also write the figures as PDF (false)
  --output_dir DIR     default: exp/NAME/report"
asr_exp=
pruned=
sweep=
separate=
export=
measure_time=true
pdf=false
output_dir=
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
# shellcheck source=/dev/null
. ./path.sh

: "${output_dir:=${asr_exp}/report}"
need "${asr_exp}/config.yaml" 11
[ -n "${pruned}" ] || ! [ -f "${asr_exp}_compact/report.json" ] || pruned=${asr_exp}_compact
options=(--measure_time "${measure_time}" --pdf "${pdf}")
[ -z "${pruned}" ] || options+=(--pruned "${pruned}")
read -r -a sweeps <<< "${sweep}"
[ ${#sweeps[@]} -eq 0 ] || options+=(--sweep "${sweeps[@]}")
read -r -a separates <<< "${separate}"
[ ${#separates[@]} -eq 0 ] || options+=(--separate "${separates[@]}")
[ -z "${export}" ] || options+=(--export "${export}")
log "report: ${asr_exp} -> ${output_dir}"
python3 -m espnet_adaptive_dropout.bin.report --exp "${asr_exp}" \
    --output_dir "${output_dir}" "${options[@]}"
