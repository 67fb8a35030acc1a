# shellcheck shell=bash
# Option parser, to be sourced:  . local/parse_options.sh
#
# Every lower-case variable that the calling script has set before it sources
# this file is an option:  --name value  or  --name=value; dashes in the name
# stand for underscores.  What the present value looks like decides what is
# accepted: true/false takes only true or false, a whole number only a whole
# number, everything else any text.  Anything unknown is refused in one line
# with exit status 2.  --help prints ${help_message}.
#
# Parsing stops at the first word that is no option; it and what follows stay
# in "$@" for the caller.

parse_options_die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h)
            echo "${help_message:-${0##*/}: options are the variables at its top}"
            exit 0
            ;;
        --) shift; break ;;
        --*=*)
            parse_options_name=${1%%=*}
            parse_options_value=${1#*=}
            shift
            ;;
        --*)
            parse_options_name=$1
            [ $# -ge 2 ] || parse_options_die "option $1 needs a value"
            parse_options_value=$2
            shift 2
            ;;
        *) break ;;
    esac
    parse_options_var=${parse_options_name#--}
    parse_options_var=${parse_options_var//-/_}
    if ! [[ ${parse_options_var} =~ ^[a-z][a-z0-9_]*$ ]] \
        || [[ ${parse_options_var} == parse_options_* ]] \
        || [[ ${parse_options_var} == help_message ]] \
        || ! [ -v "${parse_options_var}" ] \
        || { [ -n "${parse_options_only:-}" ] \
            && [[ " ${parse_options_only} " != *" ${parse_options_var} "* ]]; }; then
        parse_options_die "unknown option ${parse_options_name}; see ${0##*/} --help"
    fi
    parse_options_old=${!parse_options_var}
    if [[ ${parse_options_old} =~ ^(true|false)$ ]]; then
        [[ ${parse_options_value} =~ ^(true|false)$ ]] || parse_options_die \
            "option ${parse_options_name} must be true or false, not '${parse_options_value}'"
    elif [[ ${parse_options_old} =~ ^-?[0-9]+$ ]]; then
        [[ ${parse_options_value} =~ ^-?[0-9]+$ ]] || parse_options_die \
            "option ${parse_options_name} must be a whole number, not '${parse_options_value}'"
    fi
    printf -v "${parse_options_var}" '%s' "${parse_options_value}"
done
unset parse_options_name parse_options_value parse_options_var parse_options_old
