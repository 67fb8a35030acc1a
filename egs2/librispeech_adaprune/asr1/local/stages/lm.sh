# shellcheck shell=bash disable=SC2154
# Stages 6-9: language models. Sourced by local/asr.sh.

# Options that say how ESPnet's language model reads text
lm_text_options() {
    lm_options=(--use_preprocessor true --bpemodel "${bpemodel}"
        --token_type "${token_type}" --token_list "${token_list}"
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}"
        --valid_data_path_and_name_and_type "${lm_dev_text},text,text")
    [ -z "${lm_config}" ] || lm_options+=(--config "${lm_config}")
}

stage_6() {
    log "Stage 6: language model statistics: ${lm_stats_dir}"
    local logdir=${lm_stats_dir}/logdir text=${data_feats}/lm_train.txt jobs part
    need "${text}" 4
    need "${token_list}" 5
    need "${lm_dev_text}" 4
    mkdir -p "${logdir}"
    jobs=$(job_count "${nj}" "${text}" "${lm_dev_text}")
    split_list "${text}" "${logdir}/train." .scp "${jobs}"
    split_list "${lm_dev_text}" "${logdir}/dev." .scp "${jobs}"
    write_resume "${lm_stats_dir}/run.sh" 6
    lm_text_options
    # shellcheck disable=SC2086
    ${train_cmd} JOB=1:"${jobs}" "${logdir}/stats.JOB.log" \
        ${python} -m espnet2.bin.lm_train --collect_stats true "${lm_options[@]}" \
        --train_data_path_and_name_and_type "${text},text,text" \
        --train_shape_file "${logdir}/train.JOB.scp" \
        --valid_shape_file "${logdir}/dev.JOB.scp" \
        --output_dir "${logdir}/stats.JOB" ${lm_args}
    merge_stats "${lm_stats_dir}" "${jobs}"
    for part in train valid; do add_vocabulary_size "${lm_stats_dir}/${part}"; done
}

stage_7() {
    log "Stage 7: language model training: ${lm_exp}"
    need "${lm_stats_dir}/valid/text_shape.${token_type}" 6
    local text=${data_feats}/lm_train.txt
    local shape=${lm_stats_dir}/train/text_shape.${token_type} splits=()
    if [ "${num_splits_lm}" -gt 1 ]; then
        local dir=${lm_stats_dir}/splits${num_splits_lm}
        split_for_memory "${dir}" "${num_splits_lm}" "${text}" "${shape}"
        text=${dir}/lm_train.txt
        shape=${dir}/text_shape.${token_type}
        splits=(--multiple_iterator true)
    fi
    write_resume "${lm_exp}/run.sh" 7
    lm_text_options
    # shellcheck disable=SC2086
    launch_training "${lm_exp}" ${python} -m espnet2.bin.lm_train \
        --ngpu "${ngpu}" "${lm_options[@]}" \
        --train_data_path_and_name_and_type "${text},text,text" \
        --train_shape_file "${shape}" "${splits[@]}" \
        --valid_shape_file "${lm_stats_dir}/valid/text_shape.${token_type}" \
        --fold_length "${lm_fold_length}" --resume true --output_dir "${lm_exp}" \
        ${lm_args}
}

stage_8() {
    log "Stage 8: perplexity of ${lm_test_text}"
    need "${lm_exp}/${inference_lm}" 7
    need "${lm_test_text}" 3
    # shellcheck disable=SC2086
    ${cuda_cmd} --gpu "${ngpu}" "${lm_exp}/perplexity_test/lm_calc_perplexity.log" \
        ${python} -m espnet2.bin.lm_calc_perplexity --ngpu "${ngpu}" \
        --data_path_and_name_and_type "${lm_test_text},text,text" \
        --train_config "${lm_exp}/config.yaml" \
        --model_file "${lm_exp}/${inference_lm}" --output_dir "${lm_exp}/perplexity_test"
    log "perplexity: $(cat "${lm_exp}/perplexity_test/ppl")"
}

stage_9() {
    log "Stage 9: ${ngram_num}-gram of ${data_feats}/lm_train.txt"
    need "${data_feats}/lm_train.txt" 4
    type lmplz build_binary > /dev/null 2>&1 \
        || die "--use_ngram true needs KenLM's lmplz and build_binary on PATH"
    mkdir -p "${ngram_exp}"
    local arpa=${ngram_exp}/${ngram_num}gram.arpa
    # The n-gram counts tokens, not words: it is used on the decoder's output units.
    cut -f 2- -d " " "${data_feats}/lm_train.txt" \
        | ${python} -m espnet2.bin.tokenize_text --token_type "${token_type}" \
            --bpemodel "${bpemodel}" --input - --output - \
        | lmplz -S 20% --discount_fallback -o "${ngram_num}" - > "${arpa}.tmp"
    mv "${arpa}.tmp" "${arpa}"
    build_binary -s "${arpa}" "${ngram_exp}/${inference_ngram}"
}
