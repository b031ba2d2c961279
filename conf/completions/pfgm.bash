# Completion of pfgm for bash: subcommands, then the options of the one named, else files.
_pfgm()
{
    local word=${COMP_WORDS[COMP_CWORD]} words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "sample encode decode interpolate likelihood field convert inspect train eval tune plot bench help --help --version" -- "$word")
        return
    fi
    case ${COMP_WORDS[1]} in
    sample) words="--atol --churn --churn-noise --churn-t-max --churn-t-min --class --columns --dtype --first-index --help --json --kernel --latents --max-nfe --order-cap --output --precision --rtol --scale --schedule --seed --solver --steps --t-max --t-min --temperature --trajectory --workers" ;;
    encode) words="--atol --churn --churn-noise --churn-t-max --churn-t-min --class --help --input --json --kernel --max-nfe --order-cap --output --precision --rtol --schedule --solver --steps --t-max --t-min --workers" ;;
    decode) words="--atol --churn --churn-noise --churn-t-max --churn-t-min --class --columns --dtype --help --json --kernel --latents --max-nfe --order-cap --output --precision --rtol --scale --schedule --solver --steps --t-max --t-min --workers" ;;
    interpolate) words="--atol --between --churn --churn-noise --churn-t-max --churn-t-min --class --columns --dtype --help --json --kernel --latents --max-nfe --order-cap --output --precision --rtol --scale --schedule --seeds --solver --solver-steps --steps --t-max --t-min --workers" ;;
    likelihood) words="--atol --class --constant --epsilon --exact-trace --help --input --json --kernel --max-nfe --precision --probes --rtol --seed --solver --t-max --t-min --time --workers" ;;
    field) words="--help --input --kernel --output --precision" ;;
    convert) words="--config --exact --help --json --labels --output --preset --source-weights --strict --t-max --t-min --weights" ;;
    inspect) words="--help --json --tensors" ;;
    train) words="--center-crop --config --continue-with --data --export-dtype --help --json --kernel --labels --output --resize --resume --steps --strict --threads" ;;
    eval) words="--atol --center-crop --churn --churn-noise --churn-t-max --churn-t-min --data --help --json --kernel --labels --loss-points --max-nfe --order-cap --output --resize --rtol --schedule --seed --solver --steps --t-max --t-min --train" ;;
    tune) words="--help --json --kernel --nfe --output --rounds --seed --starts" ;;
    plot) words="--columns --help --kernel --output --seed" ;;
    bench) words="--batch --help --json --kernel --model --nfe --precision --preset --seconds --solver --steps --workers" ;;
    esac
    [[ $word == -* ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _pfgm pfgm
