import type { Candidate, Shell } from './grammar.ts';

/** The scripts that bind completion to a shell, and the answers of `kvmsnap complete` that they read. */

/** Each hands over the line as its shell has it. zsh and fish match and quote candidates; bash inserts them as they are. */
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

/** In the place of candidates: file names are wanted. No candidate is empty. */
export const FILES = '\tfiles\n';

/** One candidate a line, with what it means behind a tab. */
export function candidateLines(candidates: readonly Candidate[]): string {
  return candidates.map(({ text, help }) => `${text}\t${help}\n`).join('');
}
