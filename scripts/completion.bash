# Completion of galaxy's commands and flags in bash:
#   source scripts/completion.bash
_galaxy() {
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}") current=${COMP_WORDS[COMP_CWORD]}
  # Flags are only offered behind a dash; which of them fit, compgen sees.
  [[ $current == -* ]] && words+=(-)
  mapfile -t COMPREPLY < <(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null | cut -d: -f1)" -- "$current")
}
complete -o default -F _galaxy galaxy
