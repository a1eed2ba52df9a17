/** Quoting, for the shell line that a person pastes and for virsh's own parser: both take `'...'` as it stands. */

/** One word, quoted where it must be; a quote inside is written `'\\''` (in virsh: vshCommandStringGetArg in vsh.c). */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line that can be pasted into a shell. */
export function commandLine(file: string, args: readonly string[]): string {
  return [file, ...args].map(quote).join(' ');
}

/** A kvmsnap command line for a hint; `--` stands where a name would be taken for an option. */
export function kvmsnapLine(command: string, names: readonly string[], ...options: string[]): string {
  const separator = names.some((name) => name.startsWith('-')) ? ['--'] : [];
  return commandLine('kvmsnap', [command, ...options, ...separator, ...names]);
}

/** How a hint names a machine to virsh: a name that virsh would take for an option, an id or a UUID is replaced (hazard 1). */
export function virshWord(domain: { readonly name: string; readonly uuid: string }): string {
  return /^[A-Za-z_]/.test(domain.name) && domain.name.length !== 36 ? quote(domain.name) : domain.uuid;
}
