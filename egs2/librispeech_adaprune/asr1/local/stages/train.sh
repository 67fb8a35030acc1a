# shellcheck shell=bash disable=SC2154
# Stages 10-11: statistics and training. Sourced by local/asr.sh.

# merge_stats DIR JOBS: the jobs' statistics as one
merge_stats() {
    local n inputs=()
    for n in $(seq "$2"); do inputs+=(--input_dir "$1/logdir/stats.${n}"); done
    ${python} -m espnet2.bin.aggregate_stats_dirs "${inputs[@]}" --output_dir "$1"
}

# add_vocabulary_size DIR: text_shape with the vocabulary's size, which ESPnet's
# batch sizes count with
add_vocabulary_size() {
    awk -v N="$(count_lines "${token_list}")" '{ print $0 "," N }' "$1/text_shape" \
        > "$1/text_shape.${token_type}.tmp"
    mv "$1/text_shape.${token_type}.tmp" "$1/text_shape.${token_type}"
}

# split_for_memory DIR N FILE...: parts that are trained on one after the other
split_for_memory() {
    local dir=$1 parts=$2
    shift 2
    if [ -f "${dir}/.done" ]; then
        log "${dir}/.done exists, splitting is skipped"
        return
    fi
    ${python} -m espnet2.bin.split_scps --scps "$@" --num_splits "${parts}" \
        --output_dir "${dir}"
    touch "${dir}/.done"
}

# check_gpus N: end with a clear message when there are fewer GPUs
check_gpus() {
    [ "$1" -gt 0 ] || return 0
    # Schedulers look for GPUs on their own.
    [[ ${cuda_cmd} == *run_parallel.py* || ${cuda_cmd} == *run.pl* ]] || return 0
    local found
    found=$(python3 -c 'import torch; print(torch.cuda.device_count())')
    [ "${found}" -ge "$1" ] \
        || die "--ngpu $1, but PyTorch finds ${found} GPUs here; give --ngpu ${found}"
}

# epoch_summary LINE: the gist of ESPnet's long "epoch results" line
epoch_summary() {
    local train=${1#*\[train\]} valid=${1#*\[valid\]} name text
    train=${train%%\[valid\]*}
    [[ $1 =~ ([0-9]+)epoch\ results ]]
    text="  epoch ${BASH_REMATCH[1]}:"
    for name in loss acc; do
        [[ ${train} =~ [\ ]${name}=([^,]+) ]] && [ "${BASH_REMATCH[1]}" != nan ] \
            && text+=" train ${name} ${BASH_REMATCH[1]},"
        [[ ${valid} =~ [\ ]${name}=([^,]+) ]] && [ "${BASH_REMATCH[1]}" != nan ] \
            && text+=" valid ${name} ${BASH_REMATCH[1]},"
    done
    [[ ${train} =~ expected_reduction=([^,]+) ]] \
        && text+=" share removed ${BASH_REMATCH[1]},"
    [[ ${train} =~ [\ ]time=([^,]+) ]] && text+=" ${BASH_REMATCH[1]}"
    echo "${text%,}"
}

# show_epochs LOG: keep all input in LOG, show what tells how the training goes
show_epochs() {
    local line
    while IFS= read -r line; do
        echo "${line}" >&3
        if [[ ${line} == *"epoch results:"* ]]; then
            epoch_summary "${line}"
        elif [[ ${line} =~ [0-9]+/[0-9]+epoch\ started.* ]]; then
            echo "  ${BASH_REMATCH[0]}"
        fi
    done 3> "$1"
}

# launch_training DIR COMMAND...: train with what comes out in DIR/train.log
launch_training() {
    local dir=$1 name=$1/train.log status=0
    shift
    check_gpus "${ngpu}"
    # A job name of a grid engine has no slash.
    [[ ${cuda_cmd} != *queue*.pl* ]] || name=$(basename "${dir}")
    mkdir -p "${dir}"
    rm -f "${dir}/launch.log"
    log "training: ${dir}/train.log"
    RUN_PARALLEL_FOLLOW='epoch results:|epoch started' \
        ${python} -m espnet2.bin.launch --cmd "${cuda_cmd} --name ${name}" \
        --log "${dir}/train.log" --ngpu "${ngpu}" --num_nodes "${num_nodes}" \
        --init_file_prefix "${dir}/.dist_init_" \
        --multiprocessing_distributed true -- "$@" \
        2>&1 | show_epochs "${dir}/launch.log" || status=$?
    if [ "${status}" -ne 0 ]; then
        [ -s "${dir}/train.log" ] || die "training did not start:" \
            "$(last_words "${dir}/launch.log"); see ${dir}/launch.log"
        die "training failed: $(last_words "${dir}/train.log"); see ${dir}/train.log"
    fi
}

# Options that say how ESPnet reads speech and text
asr_data_options() {
    asr_options=(--use_preprocessor true --bpemodel "${bpemodel}"
        --token_type "${token_type}" --token_list "${token_list}"
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}"
        --frontend_conf "fs=${fs}"
        --valid_data_path_and_name_and_type "${valid_dir}/wav.scp,speech,sound"
        --valid_data_path_and_name_and_type "${valid_dir}/text,text,text")
    if [ -n "${asr_config}" ]; then
        [ -f "${asr_config}" ] || die "--asr_config ${asr_config}: no such file"
        asr_options+=(--config "${asr_config}")
    fi
}

stage_10() {
    log "Stage 10: statistics of ${train_dir} and ${valid_dir}: ${asr_stats_dir}"
    local logdir=${asr_stats_dir}/logdir jobs part
    need "${train_dir}/wav.scp" 4
    need "${valid_dir}/wav.scp" 4
    need "${token_list}" 5
    need_audio "${train_dir}/wav.scp"
    need_audio "${valid_dir}/wav.scp"
    mkdir -p "${logdir}"
    jobs=$(job_count "${nj}" "${train_dir}/wav.scp" "${valid_dir}/wav.scp")
    split_list "${train_dir}/wav.scp" "${logdir}/train." .scp "${jobs}"
    split_list "${valid_dir}/wav.scp" "${logdir}/valid." .scp "${jobs}"
    write_resume "${asr_stats_dir}/run.sh" 10
    asr_data_options
    # shellcheck disable=SC2086
    ${train_cmd} JOB=1:"${jobs}" "${logdir}/stats.JOB.log" \
        ${python} -m espnet2.bin.asr_train --collect_stats true "${asr_options[@]}" \
        --train_data_path_and_name_and_type "${train_dir}/wav.scp,speech,sound" \
        --train_data_path_and_name_and_type "${train_dir}/text,text,text" \
        --train_shape_file "${logdir}/train.JOB.scp" \
        --valid_shape_file "${logdir}/valid.JOB.scp" \
        --output_dir "${logdir}/stats.JOB" ${asr_args}
    merge_stats "${asr_stats_dir}" "${jobs}"
    for part in train valid; do add_vocabulary_size "${asr_stats_dir}/${part}"; done
}

stage_11() {
    log "Stage 11: training: ${asr_exp}"
    local scp=${train_dir}/wav.scp text=${train_dir}/text splits=() normalize=()
    local speech_shape=${asr_stats_dir}/train/speech_shape
    local text_shape=${asr_stats_dir}/train/text_shape.${token_type}
    need "${asr_stats_dir}/valid/text_shape.${token_type}" 10
    check_gpus "${ngpu}"
    need "${scp}" 4
    need_audio "${scp}"
    need_audio "${valid_dir}/wav.scp"
    if [ "${feats_normalize}" = global_mvn ]; then
        normalize=(--normalize=global_mvn
            --normalize_conf "stats_file=${asr_stats_dir}/train/feats_stats.npz")
    fi
    if [ "${num_splits_asr}" -gt 1 ]; then
        local dir=${asr_stats_dir}/splits${num_splits_asr}
        split_for_memory "${dir}" "${num_splits_asr}" \
            "${scp}" "${text}" "${speech_shape}" "${text_shape}"
        scp=${dir}/wav.scp text=${dir}/text
        speech_shape=${dir}/speech_shape
        text_shape=${dir}/text_shape.${token_type}
        splits=(--multiple_iterator true)
    fi
    write_resume "${asr_exp}/run.sh" 11
    asr_data_options
    # shellcheck disable=SC2086
    launch_training "${asr_exp}" ${python} -m espnet2.bin.asr_train "${asr_options[@]}" \
        --train_data_path_and_name_and_type "${scp},speech,sound" \
        --train_data_path_and_name_and_type "${text},text,text" \
        --train_shape_file "${speech_shape}" --train_shape_file "${text_shape}" \
        "${splits[@]}" "${normalize[@]}" \
        --valid_shape_file "${asr_stats_dir}/valid/speech_shape" \
        --valid_shape_file "${asr_stats_dir}/valid/text_shape.${token_type}" \
        --resume true --init_param ${pretrained_model} \
        --ignore_init_mismatch "${ignore_init_mismatch}" \
        --fold_length "$((asr_speech_fold_length * 100))" \
        --fold_length "${asr_text_fold_length}" --output_dir "${asr_exp}" ${asr_args}
}
