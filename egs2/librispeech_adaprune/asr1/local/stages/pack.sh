# shellcheck shell=bash disable=SC2154
# Stages 14-15: packing and upload. Sourced by local/asr.sh.

stage_14() {
    log "Stage 14: packing: ${packed_model}"
    local options=() extra
    need "${asr_exp}/config.yaml" 11
    need "${asr_exp}/${inference_asr_model}" 11
    if [ "${use_lm}" = true ]; then
        options+=(--lm_train_config "${lm_exp}/config.yaml"
            --lm_file "${lm_exp}/${inference_lm}")
        for extra in perplexity_test/ppl images; do
            [ ! -e "${lm_exp}/${extra}" ] || options+=(--option "${lm_exp}/${extra}")
        done
    fi
    if [ "${feats_normalize}" = global_mvn ]; then
        need "${asr_stats_dir}/train/feats_stats.npz" 10
        options+=(--option "${asr_stats_dir}/train/feats_stats.npz")
    fi
    [ "${bpemodel}" = none ] || options+=(--option "${bpemodel}")
    [ "${nlsyms_txt}" = none ] || options+=(--option "${nlsyms_txt}")
    python3 local/tools/model_card.py "${asr_exp}" --out "${asr_exp}/README.md" \
        --zip "$(basename "${packed_model}")" --repo "${hf_repo}"
    # What pruning leaves beside the model goes along.
    for extra in RESULTS.md images ${packed_besides}; do
        [ ! -e "${asr_exp}/${extra}" ] || options+=(--option "${asr_exp}/${extra}")
    done
    ${python} -m espnet2.bin.pack asr --asr_train_config "${asr_exp}/config.yaml" \
        --asr_model_file "${asr_exp}/${inference_asr_model}" "${options[@]}" \
        --outpath "${packed_model%.zip}.tmp.zip" > "${asr_exp}/pack.log" 2>&1 \
        || die "packing failed: $(last_words "${asr_exp}/pack.log"); see ${asr_exp}/pack.log"
    mv "${packed_model%.zip}.tmp.zip" "${packed_model}"
    log "packed: ${packed_model} ($(du -h "${packed_model}" | cut -f 1))"
}

stage_15() {
    [ -n "${hf_repo}" ] || die "--hf_repo user/name is needed to upload (stage 15)"
    log "Stage 15: upload to https://huggingface.co/${hf_repo}"
    need "${packed_model}" "14 (--skip_packing false)"
    python3 local/tools/upload_hf.py --zip "${packed_model}" --repo "${hf_repo}" \
        --readme "${asr_exp}/README.md"
}
