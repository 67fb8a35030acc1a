# shellcheck shell=bash disable=SC2034,SC2154
# Options of asr.sh for each corpus, in the array "settings"; to be sourced with
# ${corpus}, ${corpus_dir} and ${baseline} set.

# sets_in DIR PART: names of the data sets of the subsets PART-* of a corpus
sets_in() {
    local tree=$1 path names=
    [ ! -d "$1/LibriSpeech" ] || tree=$1/LibriSpeech
    for path in "${tree}/$2"-*/; do
        [ -d "${path}" ] || continue
        path=$(basename "${path}")
        names+=" ${path//-/_}"
    done
    echo "${names# }"
}

train_sets=train valid_sets=dev test_names="test_clean test_other"
size=toy pieces=180 kind_of_pieces=unigram decoder=decode_asr_ctc longest=20 factors=
case "${corpus}" in
    # BPE gives pieces close to whole words, which a small model learns fastest.
    toy) kind_of_pieces=bpe ;;
    smoke) size=smoke pieces=28 ;;
    medium) size=100h pieces=1000 decoder=decode_asr ;;
    librispeech)
        train_sets=train_960 size=960h pieces=5000 decoder=decode_asr longest=30
        test_names="test_clean test_other dev_clean dev_other"
        factors="0.9 1.0 1.1"
        ;;
    librispeech_100)
        train_sets=train_clean_100 size=100h pieces=5000 decoder=decode_asr longest=30
        test_names="test_clean test_other dev_clean dev_other"
        factors="0.9 1.0 1.1"
        ;;
    mini_librispeech)
        train_sets=train_clean_5 valid_sets=dev_clean_2 test_names=dev_clean_2
        size=100h pieces=500 decoder=decode_asr longest=30
        factors="0.9 1.0 1.1"
        ;;
    *) die "--corpus ${corpus} is unknown; choose toy, smoke, medium, librispeech," \
        "librispeech_100 or mini_librispeech" ;;
esac
case "${corpus_dir:+own} ${corpus}" in
    "own toy" | "own smoke" | "own medium")
        test_names=$(sets_in "${corpus_dir}" test)
        # without test sets, the development set
        : "${test_names:=${valid_sets}}"
        ;;
esac

kind=adaptive_dropout
[ "${baseline}" = false ] || kind=conformer
settings=(
    --lang en --use_lm false --skip_packing false
    --train_set "${train_sets}" --valid_set "${valid_sets}" --test_sets "${test_names}"
    --bpe_train_text "data/${train_sets}/text" --lm_train_text "data/${train_sets}/text"
    --nbpe "${pieces}" --bpemode "${kind_of_pieces}" --max_wav_duration "${longest}"
    --speed_perturb_factors "${factors}"
    --asr_config "conf/train_asr_${kind}_${size}.yaml"
    --inference_config "conf/${decoder}.yaml"
)
