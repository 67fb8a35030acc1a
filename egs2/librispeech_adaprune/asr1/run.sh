#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154  # options are assigned in sourced files
# Trains a Conformer with adaptive dropout, prunes, decodes, scores and packs it.
# See --help. In an ESPnet checkout, or with ESPNET_ROOT set to one, its own asr.sh
# runs the stages, otherwise local/asr.sh does.
set -euo pipefail

caller=${PWD}
if [ -n "${ESPNET_ROOT:-}" ] && [ "${ESPNET_ROOT}" != none ]; then
    ESPNET_ROOT=$(realpath -m -- "${ESPNET_ROOT}")
fi
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=/dev/null
. local/lib.sh
# shellcheck disable=SC2016
help_message='Usage: ./run.sh [options]

  --corpus NAME         toy (default), smoke, medium: synthesised here;
                        librispeech, librispeech_100, mini_librispeech: downloaded
  --corpus_dir DIR      a corpus in LibriSpeech form that is there already
  --prune BOOL          cut the trained model and go on with the small one (true)
  --target_reduction X  share of the encoder to cut out, if not the trained one
  --criterion NAME      of pruning, if not what the training learnt
  --export BOOL         write the final encoder as ONNX and in int8, too, and measure
                        them: exp/NAME/export (false)
  --baseline BOOL       the stock Conformer instead, for comparison (false)

Stages: 1 data, 2 speed perturbation, 3 audio, 4 filter, 5 tokens, 6-9 language
model, 10 statistics, 11 training and pruning, 12 decoding, 13 scoring, 14 packing,
15 upload. --stage N and --stop_stage N choose, as do all options of asr.sh
(local/asr.sh --help), e.g. --nj 4 --ngpu 1 --asr_args "--max_epoch 30".

The same training cut to other sizes, and scored: local/sweep.sh (see its --help).

Environment variables:
  ESPNET_ROOT    an ESPnet checkout: its own asr.sh, utils and scripts run the stages
                 and take their options. Found without being named when the recipe is
                 copied or linked into the checkout as egs2/NAME/asr1; "none" runs
                 local/asr.sh even there. Options, files and directories are the same,
                 so that a run begun one way goes on the other way.
  ADAPRUNE_VENV  the Python environment to use. Without it: that of the checkout
                 (tools/activate_python.sh), or else .venv of the repository around
                 this recipe, made on first use, or else the one that is active. A
                 recipe copied out of its repository needs the plugin installed there:
                 pip install "espnet-adaptive-dropout[recipe]".
ESPnet modules come from that environment; where it has another version of ESPnet than
the checkout, or none, from the checkout.'

corpus=toy
corpus_dir=
prune=true
target_reduction=
criterion=
export=false
baseline=false
own_options="corpus corpus_dir prune target_reduction criterion export baseline"

# Our options are taken out; the others go to the stages.
own=() rest=()
while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h) echo "${help_message}"; exit 0 ;;
        --*=*) words=("$1") ;;
        --*) [ $# -ge 2 ] || die "option $1 needs a value"; words=("$1" "$2") ;;
        *) die "no argument without -- is known: '$1'" ;;
    esac
    name=${1#--}
    name=${name%%=*}
    shift "${#words[@]}"
    if [[ " ${own_options} " == *" ${name//-/_} "* ]]; then
        own+=("${words[@]}")
    else
        # two words also where --name=value was given: ESPnet's parser knows only those
        value=${words[-1]}
        [ ${#words[@]} -eq 2 ] || value=${value#*=}
        rest+=("--${name}" "${value}")
    fi
done
parse_options_only=${own_options}
set -- "${own[@]}"
# shellcheck source=/dev/null
. local/parse_options.sh

if [ -n "${corpus_dir}" ]; then
    corpus_dir=$(cd "${caller}" && realpath -m -- "${corpus_dir}")
    [ -d "${corpus_dir}" ] || die "--corpus_dir ${corpus_dir}: no such directory"
    [[ ${corpus_dir} != *[[:space:]]* ]] || die "--corpus_dir must not have spaces in it"
fi
# shellcheck source=/dev/null
. local/corpus_settings.sh
# shellcheck source=/dev/null
. ./path.sh

processors=$(env -u OMP_NUM_THREADS nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
gpus=$( (nvidia-smi -L 2> /dev/null || true) | wc -l)
jobs=${processors}
settings+=(--nj "${jobs}" --inference_nj "${jobs}" --ngpu "${gpus// /}")
settings+=(--local_data_opts
    "--corpus ${corpus} --nj ${jobs}${corpus_dir:+ --corpus_dir ${corpus_dir}}")

# From here on the stages' options, names and directories, as the stages see them
# shellcheck source=/dev/null
. local/asr_options.sh
inference_asr_model=   # filled in below, as is the next
python=
{
    set -- "${settings[@]}"
    # shellcheck source=/dev/null
    . local/parse_options.sh
    known=()
    for ((i = 0; i < ${#rest[@]}; i += 2)); do
        name=${rest[i]#--}
        # ESPnet's asr.sh has more options than ours; it will check them itself.
        if [[ " ${parse_options_only} " == *" ${name//-/_} "* ]] \
            || [ "${ESPNET_ROOT}" = none ]; then
            known+=("${rest[@]:i:2}")
        fi
    done
    set -- "${known[@]}"
    # shellcheck source=/dev/null
    . local/parse_options.sh
}
config_facts=$(python3 local/tools/inspect_config.py "${asr_config}")
encoder=${config_facts% *}
if [ -z "${inference_asr_model}" ]; then
    # The config knows what it selects checkpoints by.
    inference_asr_model=${config_facts#* }
    settings+=(--inference_asr_model "${inference_asr_model}")
fi
if [ -z "${python}" ]; then
    settings+=(--python "python3 -m espnet_adaptive_dropout")
fi
# shellcheck source=/dev/null
. local/asr_names.sh

if [ "${export}" = true ]; then
    [ "${encoder}" != adaptive_dropout_conformer ] || [ "${prune}" = true ] \
        || die "--export true needs --prune true: gates are not exported"
    python3 -c "import onnx, onnxruntime" 2> /dev/null \
        || die "--export true needs two packages: python3 -m pip install onnx onnxruntime" \
            "(Python: $(command -v python3))"
fi

# use_espnet_checkout: links to what its asr.sh expects in the current directory
use_espnet_checkout() {
    local template=${ESPNET_ROOT}/egs2/TEMPLATE/asr1 name
    # It says where corpora are; a recipe's own stays.
    [ -e db.sh ] || [ ! -e "${template}/db.sh" ] || ln -sfn "${template}/db.sh" db.sh
    for name in asr.sh utils scripts pyscripts; do
        if [ -L "${name}" ] || [ ! -e "${name}" ]; then
            ln -sfn "${template}/${name}" "${name}"
        elif [ "$(realpath "${name}")" != "$(realpath "${template}/${name}")" ]; then
            die "${PWD}/${name} is in the way of a link to ${template}/${name};" \
                "remove it, or set ESPNET_ROOT=none"
        fi
    done
}
driver=local/asr.sh
if [ "${ESPNET_ROOT}" != none ]; then
    use_espnet_checkout
    driver=./asr.sh
fi

# run_stages FIRST LAST [OPTION...]: those of them that were asked for
run_stages() {
    local first=$1 last=$2
    shift 2
    if [ "${first}" -lt "${stage}" ]; then first=${stage}; fi
    if [ "${last}" -gt "${stop_stage}" ]; then last=${stop_stage}; fi
    if [ "${first}" -gt "${last}" ]; then return; fi
    "${driver}" "${settings[@]}" "${rest[@]}" "$@" --stage "${first}" --stop_stage "${last}"
}

# wanted N: whether stage N was asked for
wanted() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }

# check_corpus FILE MESSAGE: the corpus noted in FILE must be the one asked for
corpus_id="${corpus}${corpus_dir:+ ${corpus_dir}}"
check_corpus() {
    [ ! -f "$1" ] || [ "$(cat "$1")" = "${corpus_id}" ] \
        || die "$(dirname "$1") was made from '$(cat "$1")', not '${corpus_id}': $2"
}

if [ "${baseline}" = true ] && [ "${stage}" -eq 1 ] \
    && [ -f "${asr_stats_dir}/valid/text_shape.${token_type}" ] \
    && [ "$(cat data/.corpus 2> /dev/null)" = "${corpus_id}" ]; then
    log "stages 1-10 have been run for this corpus; going on with stage 11"
    stage=11
fi
check_corpus "${asr_exp}/.corpus" "give another --asr_tag, or remove it"
if wanted 1 && [ "${skip_data_prep}" = false ]; then
    rm -f data/.corpus
    run_stages 1 1
    echo "${corpus_id}" > data/.corpus
else
    check_corpus data/.corpus "start with --stage 1, which replaces it"
fi
run_stages 2 10
if wanted 11 && [ "${skip_train}" = false ]; then
    mkdir -p "${asr_exp}"
    echo "${corpus_id}" > "${asr_exp}/.corpus"
    run_stages 11 11
fi
final_exp=${asr_exp}
if [ "${encoder}" = adaptive_dropout_conformer ] && [ "${prune}" = true ]; then
    final_exp=${asr_exp}_compact${target_reduction}${criterion:+_${criterion}}
    if [ "${stop_stage}" -ge 11 ] && [ "${stage}" -le 14 ]; then
        local/prune.sh --asr_exp "${asr_exp}" --model_file "${inference_asr_model}" \
            --output_dir "${final_exp}" --force false \
            --target_reduction "${target_reduction}" --criterion "${criterion}"
    fi
fi
if [ "${export}" = true ] && [ "${stop_stage}" -ge 11 ] && [ "${stage}" -le 14 ]; then
    local/export.sh --asr_exp "${final_exp}" --model_file "${inference_asr_model}" \
        --force false
fi
last=15
packed=${final_exp}/$(basename "${final_exp}")_${inference_asr_model%.*}.zip
# ESPnet packs what it knows of; the rest of what local/asr.sh packs is added.
if [ "${driver}" = ./asr.sh ] && wanted 14 && [ "${skip_packing}" = false ]; then
    last=14
fi
run_stages 12 "${last}" --asr_exp "${final_exp}"
if [ "${last}" -eq 14 ]; then
    local/complete_pack.sh --asr_exp "${final_exp}" --hf_repo "${hf_repo}" \
        --packed_model "${packed}"
    run_stages 15 15 --asr_exp "${final_exp}"
fi
if [ "${driver}" = ./asr.sh ] && wanted 15 && [ "${skip_upload_hf}" = false ]; then
    # ESPnet uploads a description of its own, which does not name the plugin.
    local/complete_upload.sh --asr_exp "${final_exp}" --expdir "${expdir}" \
        --hf_repo "${hf_repo}" --packed_model "${packed}"
fi
if wanted 13 && [ "${skip_eval}" = false ]; then
    # the same config's stock counterpart, where it has been decoded
    stock=${asr_exp/adaptive_dropout/conformer}
    compact=${final_exp}
    [ "${baseline}" = false ] || compact=${asr_exp/conformer/adaptive_dropout}_compact
    python3 local/tools/compare.py --stock "${stock}" --ours "${compact}" --corpus "${corpus}" \
        --out "${expdir}/RESULTS_compare.md"
fi
