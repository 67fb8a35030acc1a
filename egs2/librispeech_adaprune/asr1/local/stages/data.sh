# shellcheck shell=bash disable=SC2154
# Stages 1-5: data. Sourced by local/asr.sh; every function is one stage.

fs_hz=${fs/%k/000}
[[ ${fs_hz} =~ ^[0-9]+$ ]] || die "--fs ${fs} is not a rate such as 16k or 16000"

stage_1() {
    log "Stage 1: data preparation: data/${train_set}, data/${valid_set}, ${test_sets}"
    # shellcheck disable=SC2086
    local/data.sh ${local_data_opts}
}

# perturb_audio FACTOR FROM TO: TO/wav.scp with FROM's audio at another speed. With sox
# on PATH it has commands, which stage 3 runs; that is how ESPnet does it. The recipe's
# own filter, for where sox is not, gives slightly different samples.
perturb_audio() {
    local from=$2 to=$3 n jobs
    if command -v sox > /dev/null; then
        awk -v factor="$1" '{ name = $1; $1 = ""
            print "sp" factor "-" name " sox" $0 " -t wav - speed " factor " |" }' \
            "${from}/wav.scp" > "${to}/wav.scp.tmp"
        mv "${to}/wav.scp.tmp" "${to}/wav.scp"
        return
    fi
    mkdir -p "${to}/logs"
    jobs=$(job_count "${nj}" "${from}/wav.scp")
    split_list "${from}/wav.scp" "${to}/logs/wav." .scp "${jobs}"
    RUN_PARALLEL_COUNT='^utterance ' RUN_PARALLEL_TOTAL=$(count_lines "${from}/wav.scp") \
        ${train_cmd} JOB=1:"${jobs}" "${to}/logs/perturb.JOB.log" \
        python3 local/tools/perturb_speed.py --factor "$1" \
        --scp "${to}/logs/wav.JOB.scp" --audio_dir "${to}/audio" \
        --out "${to}/logs/perturbed.JOB"
    for n in $(seq "${jobs}"); do
        cat "${to}/logs/perturbed.${n}.scp"
    done | sort > "${to}/wav.scp.tmp"
    mv "${to}/wav.scp.tmp" "${to}/wav.scp"
}

# perturb_set FACTOR: data/<train_set>_sp<factor> with audio at another speed
perturb_set() {
    local from=data/${train_set} to=data/${train_set}_sp$1
    mkdir -p "${to}"
    rm -f "${to}/wav.scp"
    [ ! -e "${from}/segments" ] || die "speed perturbation of ${from}/segments is not" \
        "supported by this driver: cut the recordings first, or run with ESPNET_ROOT"
    python3 local/tools/data_dir.py prefix "${from}" "${to}" --prefix "sp$1-"
    perturb_audio "$1" "${from}" "${to}"
}

stage_2() {
    if [ -z "${speed_perturb_factors}" ]; then
        log "Stage 2: skipped, no --speed_perturb_factors"
        return
    fi
    log "Stage 2: speed perturbation: data/${train_set} -> data/${train_set}_sp"
    need "data/${train_set}/wav.scp" 1
    local factor sets=()
    for factor in ${speed_perturb_factors}; do
        if [ "${factor}" = 1 ] || [ "${factor}" = 1.0 ]; then
            sets+=("data/${train_set}")
        else
            perturb_set "${factor}"
            sets+=("data/${train_set}_sp${factor}")
        fi
    done
    python3 local/tools/data_dir.py combine "data/${train_set}_sp" "${sets[@]}"
}

# format_set FROM TO: FROM's utterances as audio files of one kind, listed in TO
format_set() {
    local from=$1 to=$2 n jobs file options=()
    need "${from}/wav.scp" 1
    mkdir -p "${to}/logs"
    # The list comes back last: without it the directory counts as unfinished.
    rm -f "${to}/wav.scp" "${to}/utt2num_samples"
    for file in text utt2spk spk2utt; do need "${from}/${file}" 1; done
    for file in text utt2spk spk2utt spk2gender utt2uniq utt2lang; do
        rm -f "${to}/${file}"
        [ ! -e "${from}/${file}" ] || cp "${from}/${file}" "${to}/${file}"
    done
    [ ! -e "${from}/segments" ] || options=(--segments "${from}/segments")
    jobs=$(job_count "${nj}" "${from}/wav.scp")
    split_list "${from}/wav.scp" "${to}/logs/wav." .scp "${jobs}"
    RUN_PARALLEL_COUNT='^utterance ' RUN_PARALLEL_TOTAL=$(count_lines "${from}/text") \
        ${train_cmd} JOB=1:"${jobs}" "${to}/logs/format_wav_scp.JOB.log" \
        python3 local/tools/format_audio.py --format "${audio_format}" --fs "${fs_hz}" \
        --scp "${to}/logs/wav.JOB.scp" --audio_dir "${to}/data/format.JOB" \
        "${options[@]}"
    echo "${feats_type}" > "${to}/feats_type"
    echo "${audio_format}" > "${to}/audio_format"
    for n in $(seq "${jobs}"); do
        cat "${to}/data/format.${n}/utt2num_samples"
    done | sort > "${to}/utt2num_samples"
    for n in $(seq "${jobs}"); do
        cat "${to}/data/format.${n}/wav.scp"
    done | sort > "${to}/wav.scp.tmp"
    mv "${to}/wav.scp.tmp" "${to}/wav.scp"
}

stage_3() {
    log "Stage 3: audio as ${audio_format} at ${fs}: data/ -> ${data_feats}/"
    case "${audio_format}" in
        flac | wav) ;;
        *) die "--audio_format ${audio_format} is not supported; use flac or wav" ;;
    esac
    local dset wanted="org/${train_set} org/${valid_set} ${test_sets}"
    [ "${skip_train}" = false ] || wanted=${decode_sets}
    for dset in ${wanted}; do format_set "data/${dset#org/}" "${data_feats}/${dset}"; done
}

stage_4() {
    log "Stage 4: leave out long, short and empty utterances: ${data_feats}/org -> ${data_feats}"
    local dset
    for dset in "${train_set}" "${valid_set}"; do
        need "${data_feats}/org/${dset}/wav.scp" 3
        python3 local/tools/data_dir.py filter "${data_feats}/org/${dset}" \
            "${data_feats}/${dset}" --fs "${fs_hz}" \
            --min "${min_wav_duration}" --max "${max_wav_duration}"
    done
    if [ -n "${post_process_local_data_opts}" ]; then
        # shellcheck disable=SC2086
        local/data.sh ${post_process_local_data_opts} --asr_data_dir "${data_feats}/${train_set}"
    fi
    for dset in ${lm_train_text}; do
        need "${dset}" 3
        # What a file's name has beside "text" tells its lines from those of others.
        awk -v mark="$(basename "${dset}" | sed 's/text//')" \
            'NF > 1 { $1 = $1 mark; print }' "${dset}"
    done > "${data_feats}/lm_train.txt.tmp"
    mv "${data_feats}/lm_train.txt.tmp" "${data_feats}/lm_train.txt"
}

stage_5() {
    log "Stage 5: tokens (${token_type}): ${token_list}"
    local file
    if [ "${token_type}" = bpe ]; then
        for file in ${bpe_train_text}; do need "${file}" 3; done
        # shellcheck disable=SC2086
        python3 local/tools/train_bpe.py --text ${bpe_train_text} --out "${bpedir}" \
            --pieces "${nbpe}" --mode "${bpemode}" --coverage "${bpe_char_cover}" \
            --sentences "${bpe_input_sentence_size}" --symbols "${bpe_nlsyms}" \
            --blank "${blank}" --oov "${oov}" --sos_eos "${sos_eos}"
    else
        need "${data_feats}/lm_train.txt" 4
        mkdir -p "$(dirname "${token_list}")"
        ${python} -m espnet2.bin.tokenize_text --token_type "${token_type}" \
            --input "${data_feats}/lm_train.txt" --output "${token_list}.tmp" \
            --non_linguistic_symbols "${nlsyms_txt}" --field 2- \
            --cleaner "${cleaner}" --g2p "${g2p}" --write_vocabulary true \
            --add_symbol "${blank}:0" --add_symbol "${oov}:1" --add_symbol "${sos_eos}:-1"
        mv "${token_list}.tmp" "${token_list}"
    fi
}
