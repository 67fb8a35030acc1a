#!/usr/bin/env bash
# Puts the model card into the repository to which ESPnet's asr.sh has uploaded a model.
set -euo pipefail

# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2034
help_message="Usage: local/complete_upload.sh --asr_exp exp/NAME --packed_model exp/NAME/X.zip
  --hf_repo USER/NAME  where asr.sh has uploaded the model
  --expdir DIR         where it keeps its clone of that repository (exp)"
asr_exp=
packed_model=
hf_repo=
expdir=exp
# shellcheck source=/dev/null
. local/parse_options.sh
[ $# -eq 0 ] || die "no argument without -- is known: '$1'"
[ -n "${asr_exp}" ] || die "--asr_exp is required"
[ -n "${hf_repo}" ] || die "--hf_repo is required"
# shellcheck source=/dev/null
. ./path.sh

clone=${expdir}/hf_${hf_repo//\//_}
need "${clone}/README.md" 15
python3 local/tools/model_card.py "${asr_exp}" --out "${clone}/README.md" \
    --zip "$(basename "${packed_model}")" --repo "${hf_repo}"
git -C "${clone}" add README.md
if ! git -C "${clone}" diff --cached --quiet; then
    git -C "${clone}" commit --quiet -m "Model card"
    git -C "${clone}" push --quiet
fi
log "the model card is in ${hf_repo}"
