#!/usr/bin/env bash
# Stage 15: uploads a packed model to the Hugging Face hub. asr.sh would need git-lfs and
# a git repository, and would describe the model without naming the plugin.
#   local/upload.sh PACKED.zip USER/NAME
set -euo pipefail

die() { echo "upload.sh: error: $*" >&2; exit 1; }

[ $# -eq 2 ] || die "usage: local/upload.sh PACKED.zip USER/NAME"
packed=$1 repository=$2
[ -f "${packed}" ] || die "${packed} is missing: run stage 14 first (--stage 14)"
command -v hf > /dev/null || die "hf is missing: python3 -m pip install -U huggingface_hub"
folder=$(mktemp -d)
trap 'rm -rf "${folder}"' EXIT
python3 -m zipfile -e "${packed}" "${folder}" \
    || die "${packed} is damaged: run stage 14 again (--stage 14)"
# The model card, which names the zip file, names the repository instead.
card=$(find "${folder}" -name README.md | head -n 1)
[ -n "${card}" ] || die "${packed} has no README.md: pack it with --python" \
    "'python3 -m espnet_adaptive_dropout' (--stage 14)"
sed "s|from_pretrained(\"[^\"]*\")|from_pretrained(\"${repository}\")|" "${card}" \
    > "${folder}/README.md"
hf upload "${repository}" "${folder}" . \
    || die "the upload to ${repository} failed; log in with 'hf auth login' or set HF_TOKEN"
