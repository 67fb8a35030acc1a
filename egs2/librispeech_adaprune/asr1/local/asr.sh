#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154  # the options are assigned in a sourced file
# The stages of ESPnet's asr.sh, for machines without an ESPnet checkout: the same
# options, numbers, directories and files, the same espnet2.bin.* programs. Run it
# from the recipe's directory. What it does not support it refuses.
set -euo pipefail

here=local
[ -f "${here}/asr.sh" ] || { echo "asr.sh: run it from the recipe's directory" >&2; exit 1; }
# shellcheck source=/dev/null
. "${here}/lib.sh"
run_args=$(printf '%q ' "$0" "$@")
# shellcheck source=/dev/null
. "${here}/asr_options.sh"
help_message="Usage: local/asr.sh --train_set NAME --valid_set NAME --test_sets 'NAMES' [options]

Stages: 1 data, 2 speed perturbation, 3 audio, 4 filter, 5 tokens, 6-9 language
model, 10 statistics, 11 training, 12 decoding, 13 scoring, 14 packing, 15 upload.

Options and defaults (ESPnet's asr.sh has more, see ESPNET_ROOT in run.sh --help):
$(sed -e '/^[a-z][a-z0-9_]*=/!d' -e '/^parse_options_only=/d' -e 's/^/  --/' "${here}/asr_options.sh")"
# shellcheck source=/dev/null
. "${here}/parse_options.sh"
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
required=()
[ "${skip_train}" = true ] || required+=(train_set valid_set)
if [ "${eval_valid_set}" = true ]; then required+=(valid_set); else required+=(test_sets); fi
for name in "${required[@]}"; do
    [ -n "${!name}" ] || die "--${name} is required"
done
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh
# shellcheck source=/dev/null
. "${here}/asr_names.sh"
for part in data lm train decode pack; do
    # shellcheck source=/dev/null
    . "${here}/stages/${part}.sh"
done

for number in $(seq 15); do
    if [ "${number}" -gt 2 ]; then train_set=${perturbed_set}; fi
    train_dir=${data_feats}/${train_set} valid_dir=${data_feats}/${valid_set}
    if [ "${stage}" -gt "${number}" ] || [ "${stop_stage}" -lt "${number}" ]; then
        continue
    fi
    if [[ " ${skip_stages} " == *" ${number} "* ]]; then
        log "Stage ${number}: skipped, as the options say"
        continue
    fi
    started=${SECONDS}
    # A plain command: within "if" or "&&" bash would not stop at errors inside.
    "stage_${number}"
    log "Stage ${number} took $((SECONDS - started)) s"
done
log "done: stages ${stage} to ${stop_stage}, ${SECONDS} s"
