import type { CompletionWord, Shell } from './grammar.ts';

/** The completion scripts for shells, and the format of the answers of `kvmsnap complete` that they read. */

/**
 * Each script passes the line in the form of its shell. zsh and fish match and quote the candidates; bash inserts them
 * unchanged.
 */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion for kvmsnap
_kvmsnap() {
  mapfile -t COMPREPLY < <(
    command kvmsnap complete bash -- "\${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" </dev/null 2>/dev/null
  )
  if [[ \${COMPREPLY-} == $'\\tfiles' ]]; then
    COMPREPLY=()
    compopt -o default
  fi
}
complete -F _kvmsnap kvmsnap
`,
  zsh: `#compdef kvmsnap
# zsh completion for kvmsnap
_kvmsnap() {
  local tab=$'\\t' line
  local -a lines names shown
  lines=("\${(@f)$(
    command kvmsnap complete zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" </dev/null 2>/dev/null
  )}")
  if [[ $lines[1] == "\${tab}files" ]]; then
    compset -P 1 '--*='
    _files
    return
  fi
  for line in "\${(@)lines:#}"; do
    names+=("\${line%%$tab*}")
    shown+=("\${\${line%$tab}/$tab/  -- }")
  done
  compadd -l -d shown -a names
}
if [[ \${funcstack[1]} == _kvmsnap ]]; then _kvmsnap "$@"; else compdef _kvmsnap kvmsnap; fi
`,
  fish: `# fish completion for kvmsnap
function __kvmsnap_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l current (commandline -ct)
    set -l lines (command kvmsnap complete fish -- $words "$current" </dev/null 2>/dev/null)
    if test "$lines" = \\tfiles
        set -l option (string match -r -- '^--[^=]*=' "$current")
        __fish_complete_path (string replace -- "$option" '' "$current") | string replace -r -- '^' "$option"
    else
        string join -- \\n $lines
    end
end
complete -c kvmsnap -f -a '(__kvmsnap_complete)'
`,
};

/** Printed instead of candidates if file names should be completed. No candidate is empty. */
export const FILES = '\tfiles\n';

/** One candidate a line, with its description after a tab. */
export function candidateLines(candidates: readonly CompletionWord[]): string {
  return candidates.map(({ text, help }) => `${text}\t${help}\n`).join('');
}
