# shellcheck shell=bash
# Small functions for the stage scripts, to be sourced.

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (${0##*/}) $*"; }

die() {
    echo "${0##*/}: error: $*" >&2
    exit 1
}

# need FILE STAGE: end with a clear message when an earlier stage's file is missing
need() {
    [ -e "$1" ] || die "$1 is missing: run stage $2 first (--stage $2)"
}

# up_to_date RESULT SOURCE: whether a result is there and not older than its source
up_to_date() { [ -f "$1" ] && ! [ "$2" -nt "$1" ]; }

# need_audio SCP: end with a clear message when a listed file has gone meanwhile
need_audio() {
    local name path
    while read -r name path; do
        [ -e "${path}" ] || die "$1: ${name}: ${path} is gone; start with --stage 1"
    done < "$1"
}

# count_lines FILE...: lines in all of them together
count_lines() { cat "$@" | wc -l | tr -d ' '; }

# least N...: the smallest of some whole numbers, but not less than 1
least() {
    local best=$1 n
    for n in "$@"; do
        if [ "${n}" -lt "${best}" ]; then best=${n}; fi
    done
    if [ "${best}" -lt 1 ]; then best=1; fi
    echo "${best}"
}

# split_list FILE PREFIX SUFFIX N: deal the lines of FILE, in order, to
# PREFIX1SUFFIX ... PREFIX<N>SUFFIX; as in Kaldi, the first parts get what is left over
split_list() {
    local total n start=1 size
    total=$(count_lines "$1")
    rm -f "$2"[0-9]*"$3"
    for n in $(seq "$4"); do
        size=$((total / $4 + (n <= total % $4 ? 1 : 0)))
        awk -v from="${start}" -v size="${size}" \
            'NR >= from && NR < from + size' "$1" > "$2${n}$3"
        start=$((start + size))
    done
}

# job_count NJ FILE...: parallel jobs for the shortest of the files
job_count() {
    local nj=$1 file counts=
    shift
    for file in "$@"; do counts+=" $(count_lines "${file}")"; done
    # shellcheck disable=SC2086
    least "${nj}" ${counts}
}

# write_resume FILE STAGE: a script that goes on with this command from a stage
write_resume() {
    mkdir -p "$(dirname "$1")"
    printf '#!/usr/bin/env bash\ncd %q && exec %s --stage %s "$@"\n' \
        "${PWD}" "${run_args:-$0}" "$2" > "$1.tmp"
    chmod +x "$1.tmp"
    mv "$1.tmp" "$1"
}

# last_words LOG: the last line of a log that says something
last_words() { grep -v -e '^#' -e '^ *$' "$1" 2> /dev/null | tail -n 1 | cut -c 1-300; }

# What belongs to a packed model besides what ESPnet itself packs
# shellcheck disable=SC2034
packed_besides="README.md plan.yaml certificate.json report.md report.json"
