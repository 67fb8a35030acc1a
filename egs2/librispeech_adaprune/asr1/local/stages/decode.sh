# shellcheck shell=bash disable=SC2154
# Stages 12-13: decoding and scoring. Sourced by local/asr.sh.

# Options of the decoder that are the same for all sets
decode_options() {
    inference_options=(--batch_size "${batch_size}"
        --asr_train_config "${asr_exp}/config.yaml"
        --asr_model_file "${asr_exp}/${inference_asr_model}")
    if [ -n "${inference_config}" ]; then
        [ -f "${inference_config}" ] \
            || die "--inference_config ${inference_config}: no such file"
        inference_options+=(--config "${inference_config}")
    fi
    [ "${use_lm}" = false ] || inference_options+=(
        --lm_train_config "${lm_exp}/config.yaml" --lm_file "${lm_exp}/${inference_lm}")
    [ "${use_ngram}" = false ] \
        || inference_options+=(--ngram_file "${ngram_exp}/${inference_ngram}")
}

# decode_set SET: hypotheses of a set, with the real-time factor
decode_set() {
    local data=${data_feats}/$1 dir=${asr_exp}/${inference_tag}/$1 jobs n file gpus=0
    local logdir=${dir}/logdir cmd=${decode_cmd}
    need "${data}/wav.scp" 3
    need_audio "${data}/wav.scp"
    if [ "${gpu_inference}" = true ]; then
        check_gpus 1
        cmd=${cuda_cmd} gpus=1
    fi
    mkdir -p "${logdir}"
    # Parts of an earlier run with more jobs would be taken for this one's.
    rm -rf "${logdir}"/output.* "${logdir}"/asr_inference.*.log "${dir}/text"
    jobs=$(job_count "${inference_nj}" "${data}/wav.scp")
    split_list "${data}/wav.scp" "${logdir}/keys." .scp "${jobs}"
    log "decoding $1: ${logdir}/asr_inference.*.log"
    # shellcheck disable=SC2086
    RUN_PARALLEL_COUNT='INFO: speech length: ' \
        RUN_PARALLEL_TOTAL=$(count_lines "${data}/wav.scp") \
        ${cmd} --gpu "${gpus}" JOB=1:"${jobs}" "${logdir}/asr_inference.JOB.log" \
        ${python} -m espnet2.bin.asr_inference --ngpu "${gpus}" \
        --data_path_and_name_and_type "${data}/wav.scp,speech,sound" \
        --key_file "${logdir}/keys.JOB.scp" --output_dir "${logdir}/output.JOB" \
        "${inference_options[@]}" ${inference_args}
    for file in token token_int score text; do
        [ -f "${logdir}/output.1/1best_recog/${file}" ] || continue
        for n in $(seq "${jobs}"); do
            cat "${logdir}/output.${n}/1best_recog/${file}"
        done | sort -k 1,1 > "${dir}/${file}.tmp"
        mv "${dir}/${file}.tmp" "${dir}/${file}"
    done
    python3 local/tools/rtf.py --fs "${fs_hz}" --out "${logdir}/calculate_rtf.log" \
        "${logdir}"/asr_inference.*.log
}

stage_12() {
    log "Stage 12: decoding: ${asr_exp}/${inference_tag}"
    need "${asr_exp}/config.yaml" 11
    [ -e "${asr_exp}/${inference_asr_model}" ] || die \
        "${asr_exp}/${inference_asr_model} is missing: run stage 11 first, or name" \
        "another checkpoint with --inference_asr_model"
    write_resume "${asr_exp}/${inference_tag}/run.sh" 12
    decode_options
    local dset
    for dset in ${decode_sets}; do decode_set "${dset}"; done
}

# score_file DIR: DIR/result.txt from DIR/ref.trn and DIR/hyp.trn
score_file() {
    # shellcheck disable=SC2086
    sclite ${score_opts} -r "$1/ref.trn" trn -h "$1/hyp.trn" trn -i rm \
        -o all stdout > "$1/result.txt.tmp"
    mv "$1/result.txt.tmp" "$1/result.txt"
    log "${1#"${asr_exp}"/}/result.txt"
    grep -e Avg -e SPKR -m 2 "$1/result.txt" \
        || die "$1/result.txt has no summary; did sclite fail?"
}

stage_13() {
    log "Stage 13: scoring: ${asr_exp}/${inference_tag}"
    local dset dir kind
    command -v sctk > /dev/null || [[ $(command -v sclite) != */local/bin/sclite ]] \
        || log "sclite is not installed: scoring with jiwer instead"
    for dset in ${decode_sets}; do
        dir=${asr_exp}/${inference_tag}/${dset}
        need "${dir}/text" 12
        python3 local/tools/make_trn.py --data "${data_feats}/${dset}" --hyp "${dir}/text" \
            --out "${dir}" --bpemodel "${bpemodel}" --nlsyms "${nlsyms_txt}" \
            --cleaner "${cleaner}" --hyp_cleaner "${hyp_cleaner}"
        for kind in cer wer ter; do
            if [ "${kind}" != ter ] || [ "${bpemodel}" != none ]; then
                score_file "${dir}/score_${kind}"
            fi
        done
    done
    if [ -f local/score.sh ]; then
        # shellcheck disable=SC2086
        local/score.sh ${local_score_opts} "${asr_exp}"
    fi
    python3 local/tools/show_results.py "${asr_exp}" --out "${asr_exp}/RESULTS.md"
    cat "${asr_exp}/RESULTS.md"
}
