#!/usr/bin/env bash
# Adds to a model that ESPnet's asr.sh has packed what local/asr.sh packs besides:
# the model card and what pruning leaves beside the model.
# shellcheck disable=SC2154  # packed_besides is assigned in a sourced file
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/complete_pack.sh --asr_exp exp/NAME --packed_model exp/NAME/X.zip
  --hf_repo USER/NAME  where the model will be, for the model card"
asr_exp=
packed_model=
hf_repo=
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
# shellcheck source=/dev/null
. ./path.sh

need "${packed_model}" 14
python3 local/tools/model_card.py "${asr_exp}" --out "${asr_exp}/README.md" \
    --zip "$(basename "${packed_model}")" --repo "${hf_repo}"
files=()
for name in ${packed_besides}; do
    [ ! -e "${asr_exp}/${name}" ] || files+=("${asr_exp}/${name}")
done
python3 local/tools/add_to_zip.py --zip "${packed_model}" "${files[@]}"
