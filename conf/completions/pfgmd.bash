# Completion of pfgmd for bash: its options, else files.
_pfgmd()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    [[ $word == -* ]] && mapfile -t COMPREPLY < <(compgen -W "--admin --batch --check-config --config --connections --connections-per-address --cors-origins --drain-delay --drain-timeout --health --help --hosts --http-threads --idle-timeout --kernel --keys --link-lifetime --link-secret --listen --log-format --log-level --model --n-max --precision --public-metrics --public-url --queue --read-timeout --tls-certificate --tls-key --trusted-proxies --version --watchdog --workers" -- "$word")
}
complete -o default -F _pfgmd pfgmd
