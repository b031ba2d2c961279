#!/usr/bin/env bash
# Completion offers every subcommand that the program's help tells, and options of the subcommand:
# test_completion.sh PFGM COMPLETION.
set -eu
. "$2"
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _pfgm || true
}
known=$("$1" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | sort)
[ -n "$known" ] || { echo "no subcommands in the help"; exit 1; }
complete_words pfgm ""
offered=$(printf '%s\n' "${COMPREPLY[@]}" | grep -v '^-\|^help$' | sort)
[ "$known" = "$offered" ] || { echo "help: $known; completion: $offered"; exit 1; }
complete_words pfgm tune --nf
[ "${COMPREPLY[*]}" = --nfe ] || { echo "tune --nf gave: ${COMPREPLY[*]}"; exit 1; }
