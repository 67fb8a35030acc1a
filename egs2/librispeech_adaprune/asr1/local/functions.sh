# shellcheck shell=bash disable=SC2154
# Functions of run.sh, to be sourced; ${options}, ${option[NAME]}, ${corpus_id} and others are its.

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (run.sh) $*"; }

die() {
    echo "run.sh: error: $*" >&2
    exit 1
}

# link_template DIR: links to what asr.sh expects in the current directory
link_template() {
    local name
    for name in asr.sh utils scripts pyscripts db.sh; do
        if [ ! -e "$1/${name}" ] || { [ "${name}" = db.sh ] && [ -e db.sh ]; }; then
            continue   # db.sh says where corpora are; a recipe's own stays
        elif [ -L "${name}" ] || [ ! -e "${name}" ]; then
            ln -sfn "$1/${name}" "${name}"
        elif [ "$(readlink -f "${name}")" != "$(readlink -f "$1/${name}")" ]; then
            die "${PWD}/${name} is in the way of a link to $1/${name}; remove it"
        fi
    done
}

# wanted N: whether stage N is to be run
wanted() {
    [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] && [[ ${skipped} != *" $1 "* ]]
}

# lock DIR MODE: keeps other run.sh out of a directory until this one ends; with MODE
# shared, only those that would change it
declare -A lock_of=()
lock() {
    local fd=${lock_of[$1]:-}
    mkdir -p "$1"
    if [ -z "${fd}" ]; then
        exec {fd}>> "$1/.lock"
        lock_of[$1]=${fd}
    fi
    python3 - "${fd}" "$2" << 'PYTHON' && return
import fcntl, sys
mode = fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX
try:
    fcntl.flock(int(sys.argv[1]), mode | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
except OSError:
    pass  # a file system without locks
PYTHON
    die "another run.sh is at work in ${PWD}/$1: wait for it, or run in a copy of the recipe"
}

# check_corpus DIR MESSAGE: the corpus noted in DIR must be the one asked for
check_corpus() {
    [ ! -f "$1/.corpus" ] || [ "$(cat "$1/.corpus")" = "${corpus_id}" ] \
        || die "$1 was made from '$(cat "$1/.corpus")', not '${corpus_id}': $2"
}

# check_unfinished DIR: no stage before the first one to run was interrupted in DIR
check_unfinished() {
    local mark
    for mark in "$1"/.unfinished.*; do
        [ ! -e "${mark}" ] || [ "${mark##*.}" -ge "${stage}" ] || die "stage ${mark##*.}" \
            "was interrupted or failed in $1: go on with --stage ${mark##*.}"
    done
}

# run_stage N DIR: stage N of asr.sh, whose results are in DIR
run_stage() {
    local mark=$2/.unfinished.$1 started=${SECONDS}
    mkdir -p "$2"
    # A training goes on by itself where it was interrupted.
    [ "$1" -eq 11 ] || touch "${mark}"
    python3 local/progress.py ./asr.sh "${options[@]}" --stage "$1" --stop_stage "$1"
    if [ "$1" -eq 2 ] && [[ $(command -v sox) == */local/bin/sox ]]; then
        sox --convert "data/${option[train_set]}_sp" "${option[nj]}"
    fi
    rm -f "${mark}"
    log "Stage $1 took $((SECONDS - started)) s"
}

# newer RESULT SOURCE: whether a result is there and not older than its source
newer() { [ -e "$1" ] && ! [ "$2" -nt "$1" ]; }

# adaprune NAME OPTION...: a command of the package
adaprune() { python3 -m "espnet_adaptive_dropout.bin.$1" "${@:2}"; }
