# shellcheck shell=bash disable=SC2034,SC2154
# Names of directories and files that follow from the options, to be sourced after
# local/asr_options.sh and the option parser.  They are those of ESPnet's asr.sh,
# so that a run begun with one driver can go on with the other.

# args_to_tag TEXT DROPPED: the part of a tag that stands for extra arguments
args_to_tag() { printf '%s' "$1" | sed -e 's/--/_/g' | tr -d "$2"; }

case "${feats_type}" in
    raw) data_feats=${dumpdir}/raw ;;
    *) die "--feats_type ${feats_type} is not supported; use raw" ;;
esac
case "${token_type}" in
    bpe | char | word) ;;
    *) die "--token_type ${token_type} is not supported; use bpe, char or word" ;;
esac
[ "${use_word_lm}" = false ] || die "--use_word_lm true is not supported"
[ "${asr_task}" = asr ] || die "--asr_task ${asr_task} is not supported; use asr"

[ -z "${train_set}" ] || [ "${train_set}" != "${valid_set}" ] \
    || die "--train_set and --valid_set must differ, both are ${train_set}"
# A set is decoded once, and the validation set before its long utterances are left
# out, as org/<valid_set>.
given_sets=${test_sets} test_sets=
for dset in ${given_sets}; do
    [ "${dset}" != "${train_set}" ] || die "--test_sets has the training set ${dset}"
    if [ "${dset}" = "${valid_set}" ]; then
        eval_valid_set=true
    elif [[ " ${test_sets} " != *" ${dset} "* ]]; then
        test_sets+=${test_sets:+ }${dset}
    fi
done

# The set that stages 3 on work with
perturbed_set=${train_set}
[ -z "${speed_perturb_factors}" ] || perturbed_set=${train_set}_sp

# All of ESPnet's asr.sh, but for one: with --speed_perturb_factors it looks for the
# text of the set as it was before, which no stage puts there.
: "${bpe_train_text:=${data_feats}/org/${perturbed_set}/text}"
: "${lm_train_text:=${data_feats}/org/${perturbed_set}/text}"
: "${lm_dev_text:=${data_feats}/org/${valid_set}/text}"
first_test=${test_sets%% *}
: "${lm_test_text:=${data_feats}/${first_test:-org/${valid_set}}/text}"
: "${inference_ngram:=${ngram_num}gram.bin}"

lang_part=
token_listdir=data/token_list
if [ "${lang}" != noinfo ]; then
    lang_part=_${lang}
    token_listdir=data/${lang}_token_list
fi
token_part=${lang_part}_${token_type}
bpemodel=none
case "${token_type}" in
    bpe)
        token_part+=${nbpe}
        bpedir=${token_listdir}/bpe_${bpemode}${nbpe}
        bpemodel=${bpedir}/bpe.model
        token_list=${bpedir}/tokens.txt
        ;;
    *) token_list=${token_listdir}/${token_type}/tokens.txt ;;
esac

if [ -z "${asr_tag}" ]; then
    asr_tag=train
    [ -z "${asr_config}" ] || asr_tag=$(basename "${asr_config}" .yaml)
    asr_tag+=_${feats_type}${token_part}$(args_to_tag "${asr_args}" ' |=/')
    [ -z "${speed_perturb_factors}" ] || asr_tag+=_sp
fi
if [ -z "${asr_stats_dir}" ]; then
    asr_stats_dir=${expdir}/asr_stats_${feats_type}${token_part}
    [ -z "${speed_perturb_factors}" ] || asr_stats_dir+=_sp
fi
if [ -z "${lm_tag}" ]; then
    lm_tag=train
    [ -z "${lm_config}" ] || lm_tag=$(basename "${lm_config}" .yaml)
    lm_tag+=${token_part}$(args_to_tag "${lm_args}" ' |=/')
fi
: "${lm_stats_dir:=${expdir}/lm_stats${token_part}}"
: "${asr_exp:=${expdir}/asr_${asr_tag}}"
: "${lm_exp:=${expdir}/lm_${lm_tag}}"
: "${ngram_exp:=${expdir}/ngram}"

if [ -z "${inference_tag}" ]; then
    # model_to_tag FILE: without its last suffix, / as _
    model_to_tag() { echo "$1" | sed -e 's/\//_/g' -e 's/\.[^.]*$//g'; }
    inference_tag=inference
    [ -z "${inference_config}" ] || inference_tag=$(basename "${inference_config}" .yaml)
    inference_tag+=$(args_to_tag "${inference_args}" ' |=')
    [ "${use_lm}" = false ] \
        || inference_tag+=_lm_$(basename "${lm_exp}")_$(model_to_tag "${inference_lm}")
    [ "${use_ngram}" = false ] \
        || inference_tag+=_ngram_$(basename "${ngram_exp}")_$(model_to_tag "${inference_ngram}")
    inference_tag+=_asr_model_$(model_to_tag "${inference_asr_model}")
fi
packed_model=${asr_exp}/$(basename "${asr_exp}")_${inference_asr_model%.*}.zip

decode_sets=${test_sets}
[ "${eval_valid_set}" = false ] || decode_sets="org/${valid_set}${test_sets:+ ${test_sets}}"

# What the switches leave out
[ "${skip_data_prep}" = false ] || skip_stages+=" 1 2 3 4 5"
if [ "${skip_train}" = true ]; then
    skip_stages+=" 2 4 5 6 7 8 9 10 11"
elif [ "${use_lm}" = false ]; then
    skip_stages+=" 6 7 8"
fi
[ "${use_ngram}" = true ] || skip_stages+=" 9"
[ "${skip_eval}" = false ] || skip_stages+=" 12 13"
[ "${skip_packing}" = false ] || skip_stages+=" 14"
[ "${skip_upload_hf}" = false ] || skip_stages+=" 15"
