import { Option } from './commander.ts';
import type { KnownOption } from './parts.ts';

/** Words of virsh, and of everyday speech, for what kvmsnap calls by another name. */

export interface OtherWord {
  /** What it is here, by the number of its operands: none, one, ..., and the last for all that are more. */
  readonly means: readonly (readonly string[])[];
  /**
   * Taken as if it had been typed so: virsh's own name for the very same thing, or a word for looking only. Any other is
   * answered with the command to paste.
   */
  readonly taken: boolean;
  /** Where the operands of virsh's command go: an option for the one in that place; null and later ones: as they are. */
  readonly operands?: readonly (string | null)[];
  /** An operand that virsh's command has no word for. */
  readonly more?: string;
}

const taken = (...means: readonly (readonly string[])[]): OtherWord => ({ means, taken: true });
const told = (...means: readonly (readonly string[])[]): OtherWord => ({ means, taken: false });

/** Each word of a list with the same meaning. */
const all = (words: string, meaning: OtherWord) => words.split(' ').map((word) => [word, meaning] as const);

/** virsh's commands, which `virsh help snapshot` lists. */
export const VIRSH_COMMANDS: ReadonlyMap<string, OtherWord> = new Map([
  ['snapshot-create', { ...taken(['create']), operands: [null, '--xml'] }],
  [
    'snapshot-create-as',
    { ...taken(['create-as'], ['create'], ['create-as']), operands: [null, null, '--description'] },
  ],
  ['snapshot-current', { ...taken(['current']), operands: [null, '--set'] }],
  ['snapshot-delete', taken(['delete'])],
  ['snapshot-dumpxml', taken(['info', '--xml'])],
  ['snapshot-edit', { ...told(['describe']), more: 'new description' }],
  ['snapshot-info', taken(['info'])],
  ['snapshot-list', taken(['list'])],
  ['snapshot-parent', taken(['info'])],
  ['snapshot-revert', taken(['revert'])],
]);

/** What people say. Not among it: what means something else in virsh, such as `destroy`. */
export const EVERYDAY_WORDS: ReadonlyMap<string, OtherWord> = new Map([
  ...all('version', taken(['--version'])),
  ...all('snapshots history log vms domains overview', taken(['list'])),
  ...all('tree', taken(['list', '--tree'])),
  ...all('show status state view inspect', taken(['list'], ['info'])),
  ...all('du df size usage', taken(['space'])),
  ...all('verify doctor health', taken(['check'])),
  ...all('man topics', taken(['help'])),
  ...all('restore rollback roll-back undo goto apply load loadvm', told(['revert'])),
  ...all('remove del erase drop discard unlink delvm', told(['delete'])),
  ...all('take snapshot snap make new add savevm', told(['create'], ['create'], ['create-as'])),
  ...all('purge clean cleanup clean-up expire rotate forget', told(['prune'])),
  ...all('protect lock pin', told(['hold'])),
  ...all('unprotect unlock unpin release', told(['unhold'])),
  ...all('comment annotate note', told(['describe'])),
  ...all('fix repair', told(['check', '--fix'])),
]);

/** An option of virsh, and what stands in its place: the VM or the snapshot as an operand, or other words. */
export interface VirshOption {
  readonly option: KnownOption;
  /** Words: the last one is followed by the value, where there is one. */
  readonly becomes: 'vm' | 'snapshot' | readonly string[];
}

const option = (flags: string, becomes: VirshOption['becomes']): VirshOption => ({
  option: new Option(flags),
  becomes,
});

/** An option that belongs to another command of ours, which takes the same operands. */
export const MISPLACED: ReadonlyMap<string, readonly [flag: string, belongsTo: string]> = new Map([
  ['create', ['--name', 'create-as']],
]);

/** The options of virsh that a command has under another name, or that say what is so here anyway. */
export function virshOptionsOf(command: string): readonly VirshOption[] {
  const domain = option('--domain <vm>', 'vm');
  const snapshot = option('--snapshotname <name>', 'snapshot');
  switch (command) {
    case 'list':
      return [
        domain,
        option('--name', ['-q']),
        ...['--parent', '--metadata', '--topological'].map((flags) => option(flags, [])),
      ];
    case 'create':
      return [domain, option('--xmlfile <file>', ['--xml'])];
    case 'create-as':
      return [domain, option('--name <name>', 'snapshot')];
    case 'current':
      return [domain, option('--name', []), option('--snapshotname <name>', ['--set'])];
    case 'prune':
    case 'check':
      return [domain];
    case 'revert':
    case 'info':
    case 'delete':
    case 'space':
    case 'hold':
    case 'unhold':
    case 'describe':
      return [domain, snapshot];
    default:
      return [];
  }
}
