#!/usr/bin/env bash
# Stage 1: downloads or synthesises a corpus and makes the data directories in data/.
set -euo pipefail

# shellcheck disable=SC2034  # parse_options.sh prints it
help_message='Usage: local/data.sh [options]
  --corpus NAME     toy, smoke, medium: synthesised here (default: toy)
                    librispeech, librispeech_100, mini_librispeech: from OpenSLR
  --corpus_dir DIR  a corpus in the form of LibriSpeech, used where it is. With an
                    OpenSLR name for --corpus it must have the subsets of that corpus,
                    else train and dev are made from every train-* and dev-* in it.
  --sets A,B,...    data sets that the corpus must have; a missing one is refused at once
  --downloads DIR   directory for the corpora (default: downloads)
  --data_url URL    directory of the archives on the server (default: OpenSLR)
  --checksum BOOL   check archives against md5sum.txt of the server (default: true)
  --remove_archives BOOL  remove each archive once it is unpacked (default: false)
  --nj N            parallel jobs (default: 4)
As in ESPnet, LIBRISPEECH (for mini_librispeech: MINI_LIBRISPEECH) in the environment or
in db.sh names the directory that contains LibriSpeech/. What is there is used where it
is; into an empty directory the corpus is downloaded, instead of into --downloads.'

corpus=toy
corpus_dir=
sets=
downloads=downloads
data_url=
checksum=true
remove_archives=false
nj=4

die() {
    echo "local/data.sh: error: $*" >&2
    exit 1
}

[ -e utils ] || die "no utils here: ./run.sh --stop_stage 1 links ESPnet's scripts and" \
    "runs this one; its --local_data_opts are the options"
# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

# use_variable NAME: uses the directory that this variable names, if it is set
use_variable() {
    local dir given=${!1:-}   # the environment has priority
    if [ -f ./db.sh ]; then
        # shellcheck source=/dev/null
        . ./db.sh
    fi
    dir=${given:-${!1:-}}
    # what ESPnet's db.sh has until the user changes it
    [ -n "${dir}" ] && [ "${dir}" != downloads ] || return 0
    [ -d "${dir}" ] || die "$1=${dir}: no such directory; correct $1 or unset it"
    if compgen -G "${dir}/LibriSpeech/*-clean*" > /dev/null \
        || compgen -G "${dir}/*-clean*/" > /dev/null; then
        corpus_dir=${dir}
        echo "local/data.sh: using $1=${dir}"
    else
        archives=${dir}
        echo "local/data.sh: nothing in $1=${dir} yet, downloading to it"
    fi
}

[ $# -eq 0 ] || die "no argument without -- is known: '$1'"

name=${corpus} archives=
case ${corpus} in
    toy | smoke | medium)
        [ -z "${corpus_dir}" ] || name=custom
        ;;
    librispeech | librispeech_100 | mini_librispeech)
        variable=LIBRISPEECH
        [ "${corpus}" != mini_librispeech ] || variable=MINI_LIBRISPEECH
        [ -n "${corpus_dir}" ] || use_variable "${variable}"
        ;;
    *)
        die "unknown --corpus '${corpus}': toy, smoke, medium, librispeech," \
            "librispeech_100 or mini_librispeech"
        ;;
esac

# Before hours of download, not after them.
python3 local/data/prepare_librispeech.py --check --corpus "${name}" \
    --corpus_dir "${corpus_dir}" --sets "${sets}"

if [ -z "${corpus_dir}" ]; then
    case ${corpus} in
        toy | smoke | medium)
            corpus_dir=${downloads}/${corpus}
            python3 local/corpora/synthesize_corpus.py \
                --size "${corpus}" --output "${corpus_dir}" --nj "${nj}"
            ;;
        *)
            # The archives of 100 h are among those of 960 h.
            corpus_dir=${archives:-${downloads}/${corpus%_100}}
            python3 local/data/download_librispeech.py --corpus "${corpus}" \
                --output "${corpus_dir}" --data_url "${data_url}" --nj "${nj}" \
                --checksum "${checksum}" --remove_archives "${remove_archives}"
            ;;
    esac
fi

python3 local/data/prepare_librispeech.py \
    --corpus "${name}" --corpus_dir "${corpus_dir}" --nj "${nj}"
