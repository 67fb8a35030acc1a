#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154  # variables of sourced files
# Trains a Conformer with adaptive dropout, prunes, decodes, scores and packs it.
# ESPnet's asr.sh runs the stages; this script adds the pruning. See --help.
set -euo pipefail

caller=${PWD}
case ${ESPNET_ROOT:-/} in /*) ;; *) ESPNET_ROOT=${caller}/${ESPNET_ROOT} ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=/dev/null
. local/functions.sh
help_message='Usage: ./run.sh [options]

  --corpus NAME         toy (default), smoke, medium: synthesised here;
                        librispeech, librispeech_100, mini_librispeech: downloaded
  --corpus_dir DIR      a corpus in LibriSpeech form that is there already
  --baseline BOOL       the stock Conformer instead, for comparison (false)
  --prune BOOL          prune the trained model and go on with the small one (true)
  --target_reduction X  share of the encoder to remove, if not the trained one
  --criterion NAME      of pruning, if not what the training learnt: magnitude, taylor,
                        activation, random
  --sweep "X X ..."     prune to these shares too, and decode and score each of them:
                        exp/NAME_sweep
  --export BOOL         write the final encoder as ONNX and in int8 too, and measure
                        them: exp/NAME/export (false)
  --report BOOL         draw what the training and the pruned model are like:
                        exp/NAME/report (false)

Stages: 1 data, 2 speed perturbation, 3 audio, 4 filter, 5 tokens, 6-9 language
model, 10 statistics, 11 training and pruning, 12 decoding, 13 scoring, 14 packing,
15 upload. --stage N and --stop_stage N choose, as do all options of asr.sh
(./asr.sh --help, after the first run), e.g. --nj 4 --ngpu 1 --asr_args "--max_epoch 30".

Environment variables:
  ESPNET_ROOT    an ESPnet checkout whose asr.sh, utils and scripts run the stages. Found
                 without being named when the recipe is copied or linked into the
                 checkout as egs2/NAME/asr1. Without a checkout they come from the
                 source distribution of the installed ESPnet, fetched once.
  ADAPRUNE_VENV  the Python environment to use. Without it: that of the checkout
                 (tools/activate_python.sh), or else .venv of the repository around
                 this recipe, made on first use, or else the one that is active. A
                 recipe copied out of its repository needs the plugin installed there:
                 pip install "espnet-adaptive-dropout[recipe]".
ESPnet modules come from that environment; where it has another version of ESPnet than
the checkout, or none, from the checkout.'

corpus=toy corpus_dir='' baseline=false
prune=true target_reduction='' criterion='' sweep='' export=false report=false

# Our options are taken out; the others are asr.sh's.
rest=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) echo "${help_message}"; exit 0 ;;
        --*=*) name=${1%%=*} value=${1#*=}; shift ;;
        --*) [ $# -ge 2 ] || die "option $1 needs a value"; name=$1 value=$2; shift 2 ;;
        *) die "no argument without -- is known: '$1'" ;;
    esac
    name=${name#--}
    name=${name//-/_}
    case ${name} in
        baseline | prune | export | report)
            [[ ${value} =~ ^(true|false)$ ]] \
                || die "--${name} must be true or false, not '${value}'" ;;&
        corpus | corpus_dir | baseline | prune | target_reduction | criterion | sweep \
            | export | report) printf -v "${name}" %s "${value}" ;;
        stage | stop_stage) [[ ${value} =~ ^[0-9]+$ ]] \
            || die "--${name} must be a whole number, not '${value}'" ;;&
        *) rest+=("--${name}" "${value}") ;;
    esac
done

if [ -n "${corpus_dir}" ]; then
    given=${corpus_dir}
    corpus_dir=$(cd "${caller}" && cd "${given}" 2> /dev/null && pwd) \
        || die "--corpus_dir ${given}: no such directory"
    [[ ${corpus_dir} != *[[:space:]]* ]] || die "--corpus_dir must not have spaces in it"
fi
# shellcheck source=/dev/null
. local/corpus_settings.sh
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh

link_template "${ESPNET_ROOT}/egs2/TEMPLATE/asr1"
for ((i = 0; i < ${#rest[@]}; i += 2)); do
    grep -q "^${rest[i]#--}=" asr.sh || die "unknown option ${rest[i]}; see ./run.sh --help"
done

processors=$(env -u OMP_NUM_THREADS nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
gpus=$( (nvidia-smi -L 2> /dev/null || true) | grep -c '^GPU' || true)
options=("${settings[@]}" --nj "${processors}" --inference_nj "${processors}"
    --ngpu "${gpus}" --python "python3 -m espnet_adaptive_dropout"
    "${rest[@]}")

# What asr.sh will do by these options, with its defaults for those that are not given
declare -A option=([stage]=1 [stop_stage]=15 [expdir]=exp [dumpdir]=dump [lang]=noinfo
    [feats_type]=raw [token_type]=bpe [nbpe]=30 [use_lm]=true [use_ngram]=false)
for name in skip_{data_prep,train,eval}; do option[${name}]=false; done
for name in skip_{packing,upload_hf}; do option[${name}]=true; done
for ((i = 0; i < ${#options[@]}; i += 2)); do
    option[${options[i]#--}]=${options[i + 1]}
done
if [ -z "${option[local_data_opts]:-}" ]; then
    sets="${option[train_set]} ${option[valid_set]} ${option[test_sets]}"
    options+=(--local_data_opts "--corpus ${corpus} --nj ${processors} \
--sets ${sets// /,}${corpus_dir:+ --corpus_dir ${corpus_dir}}")
fi
[ "${option[stop_stage]}" -le 15 ] || option[stop_stage]=15
stage=${option[stage]} stop_stage=${option[stop_stage]}

skipped=" ${option[skip_stages]:-} "
[ "${option[skip_data_prep]}" = false ] || skipped+="1 2 3 4 5 "
[ "${option[skip_train]}" = false ] || skipped+="2 4 5 6 7 8 9 10 11 "
[ -n "${option[speed_perturb_factors]:-}" ] || skipped+="2 "
[ "${option[use_lm]}" = true ] || skipped+="6 7 8 "
[ "${option[use_ngram]}" = true ] || skipped+="9 "
[ "${option[skip_eval]}" = false ] || skipped+="12 13 "
[ "${option[skip_packing]}" = false ] || skipped+="14 "
[ "${option[skip_upload_hf]}" = false ] || skipped+="15 "
! wanted 15 || [ -n "${option[hf_repo]:-}" ] || die "stage 15 needs --hf_repo USER/NAME"

# The directories are those that asr.sh would choose.
data_tag=${option[feats_type]}
[ "${option[lang]}" = noinfo ] || data_tag+=_${option[lang]}
data_tag+=_${option[token_type]}
[ "${option[token_type]}" != bpe ] || data_tag+=${option[nbpe]}
sp=${option[speed_perturb_factors]:+_sp}
args_tag=$(echo "${option[asr_args]:-}" | sed -e 's/--/_/g' -e 's/[ |=/]//g')
asr_tag=${option[asr_tag]:-$(basename "${option[asr_config]}" .yaml)_${data_tag}${args_tag}${sp}}
asr_exp=${option[asr_exp]:-${option[expdir]}/asr_${asr_tag}}
asr_stats_dir=${option[asr_stats_dir]:-${option[expdir]}/asr_stats_${data_tag}${sp}}
options+=(--asr_stats_dir "${asr_stats_dir}")

# Everything that can be refused is refused now.
checks=(--asr_config "${option[asr_config]}" --target_reduction "${target_reduction}"
    --criterion "${criterion}" --sweep "${sweep}" --prune "${prune}" --export "${export}")
if wanted 11 && [ -n "${target_reduction}${sweep}" ]; then
    log "checking that the encoder has as much to remove (imports ESPnet)"
    checks+=(--check_bound true)
fi
if wanted 11 && [ "${option[ngpu]}" != "${gpus}" ] && [[ ${cuda_cmd} == *run.pl* ]]; then
    checks+=(--ngpu "${option[ngpu]}")
fi
facts=$(python3 local/check_options.py "${checks[@]}") || exit 1
encoder=${facts% *} model_file=${option[inference_asr_model]:-${facts#* }}
options+=(--inference_asr_model "${model_file}")
final_exp=${asr_exp}
if [ "${encoder}" != adaptive_dropout_conformer ]; then
    prune=false
elif [ "${prune}" = true ]; then
    final_exp=${asr_exp}_compact${target_reduction}${criterion:+_${criterion}}
fi

corpus_id="${corpus}${corpus_dir:+ ${corpus_dir}}"
if [ "${baseline}" = true ] && [ "${stage}" -eq 1 ] \
    && [ -f "${asr_stats_dir}/valid/text_shape.${option[token_type]}" ] \
    && [ "$(cat data/.corpus 2> /dev/null)" = "${corpus_id}" ]; then
    log "stages 1-10 have been run for this corpus; going on with stage 11"
    stage=11
fi
check_corpus "${asr_exp}" "give another --asr_tag, or remove it"
wanted 1 || check_corpus data "start with --stage 1, which replaces it"
lock data "$([ "${stage}" -le 10 ] && echo exclusive || echo shared)"
check_unfinished data
check_unfinished "${final_exp}"

for number in 1 2 3 4 5 6 7 8 9 10; do
    wanted "${number}" || continue
    if [ "${number}" -eq 1 ]; then
        rm -f data/.corpus
        run_stage 1 data
        echo "${corpus_id}" > data/.corpus
    else
        run_stage "${number}" data
    fi
done
if [ "${stop_stage}" -lt 11 ]; then
    log "done: stages ${stage} to ${stop_stage}, ${SECONDS} s"
    exit 0
fi
lock data shared
lock "${asr_exp}" exclusive
options+=(--asr_exp "${asr_exp}")
if wanted 11; then
    echo "${corpus_id}" > "${asr_exp}/.corpus"
    run_stage 11 "${asr_exp}"
fi
trained=(--train_config "${asr_exp}/config.yaml" --model_file "${asr_exp}/${model_file}")
if [ "${stage}" -le 14 ]; then
    [ -e "${asr_exp}/${model_file}" ] || die "${asr_exp}/${model_file} is missing: run" \
        "stage 11 first (--stage 11), or name another checkpoint (--inference_asr_model)"
fi
cut=()
[ -z "${criterion}" ] || cut+=(--criterion "${criterion}")
if [ "${prune}" = true ] && [ "${stage}" -le 14 ]; then
    if newer "${final_exp}/${model_file}" "${asr_exp}/${model_file}"; then
        log "${final_exp} is there and newer than ${asr_exp}/${model_file}"
    else
        log "pruning: ${asr_exp}/${model_file} -> ${final_exp}"
        adaprune prune "${trained[@]}" --output_dir "${final_exp}" "${cut[@]}" \
            ${target_reduction:+--target_reduction "${target_reduction}"}
    fi
fi
echo "${corpus_id}" > "${final_exp}/.corpus"
options+=(--asr_exp "${final_exp}")
final=(--train_config "${final_exp}/config.yaml" --model_file "${final_exp}/${model_file}")
if [ "${export}" = true ] && [ "${stage}" -le 14 ] \
    && ! newer "${final_exp}/export/export.json" "${final_exp}/${model_file}"; then
    log "export: ${final_exp}/${model_file} -> ${final_exp}/export"
    adaprune export "${final[@]}" --output_dir "${final_exp}/export"
fi
for number in 12 13 14; do
    ! wanted "${number}" || run_stage "${number}" "${final_exp}"
done
if [ -n "${sweep}" ] && [ "${stage}" -le 14 ]; then
    log "sweep: ${asr_exp}/${model_file} -> ${asr_exp}_sweep${criterion:+_${criterion}}"
    sets=()
    for name in ${option[test_sets]}; do
        [ -d "${option[dumpdir]}/raw/${name}" ] || name=org/${name}   # the validation set
        sets+=("${option[dumpdir]}/raw/${name}")
    done
    # shellcheck disable=SC2086
    adaprune sweep "${trained[@]}" --output_dir "${asr_exp}_sweep${criterion:+_${criterion}}" \
        --target_reduction ${sweep} "${cut[@]}" --nj "${option[inference_nj]}" \
        --inference_config "${option[inference_config]}" --test_sets "${sets[@]}"
fi
if [ "${report}" = true ] && [ "${stage}" -le 14 ]; then
    figures=(--exp "${asr_exp}" --output_dir "${asr_exp}/report")
    [ "${prune}" = false ] || figures+=(--pruned "${final_exp}")
    [ ! -f "${asr_exp}_sweep/sweep.json" ] || figures+=(--sweep "${asr_exp}_sweep/sweep.json")
    adaprune report "${figures[@]}"
fi
if wanted 15; then
    log "Stage 15: upload to https://huggingface.co/${option[hf_repo]}"
    local/upload.sh "${final_exp}/$(basename "${final_exp}")_${model_file%.*}.zip" \
        "${option[hf_repo]}"
fi
if wanted 13; then
    python3 local/compare.py --expdir "${option[expdir]}" --corpus "${corpus_id}" \
        --out "${option[expdir]}/RESULTS_compare.md"
fi
log "done: stages ${stage} to ${stop_stage}, ${SECONDS} s"
