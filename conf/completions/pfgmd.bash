# Completion of pfgmd for bash: the options that its --help lists and the words of their values, else files.
_pfgmd()
{
    local word=${COMP_WORDS[COMP_CWORD]} words=""
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD-1]} in
    --kernel) words="auto c openblas lanes8 avx2 neon avx512 amx" ;;
    --precision) words="auto f32 bf16x3 bf16" ;;
    --public-metrics) words="on off" ;;
    --log-level) words="error warn info debug" ;;
    --log-format) words="text json" ;;
    *) [[ $word != -* ]] || words=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n '/^  -/p' | grep -oE -- '--[a-z][a-z-]*') ;;
    esac
    [ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _pfgmd pfgmd
