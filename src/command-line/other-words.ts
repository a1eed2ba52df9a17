import { Option } from './commander.ts';
import type { KnownOption } from './parts.ts';

/** Words of virsh and of everyday language for things that have another name in kvmsnap. */

export interface OtherWord {
  /** The meaning by the number of operands: none, one, ...; the last entry is for all larger numbers. */
  readonly means: readonly (readonly string[])[];
  /**
   * Accepted as if kvmsnap's word had been typed: virsh's own name for the same thing, or a word for a command that
   * changes nothing. Any other word is answered with the command to paste.
   */
  readonly taken: boolean;
  /** The options that take the operands of virsh's command, by place; null, and later operands: they stay operands. */
  readonly operands?: readonly (string | null)[];
  /** An operand that virsh's command does not have. */
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

/** Words of everyday language, without those that mean something else in virsh, such as `destroy`. */
export const EVERYDAY_WORDS: ReadonlyMap<string, OtherWord> = new Map([
  ...all('version', taken(['--version'])),
  ...all('snapshots log vms domains overview', taken(['list'])),
  ...all('tree', taken(['list', '--tree'])),
  ...all('show status state view inspect', taken(['list'], ['info'])),
  ...all('du df size usage', taken(['space'])),
  ...all('doctor health', taken(['check'])),
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

/** An option of virsh and its replacement: the VM or the snapshot as an operand, or other words. */
export interface VirshOption {
  readonly option: KnownOption;
  /** Words; the value, if there is one, follows the last word. */
  readonly becomes: 'vm' | 'snapshot' | readonly string[];
}

const option = (flags: string, becomes: VirshOption['becomes']): VirshOption => ({
  option: new Option(flags),
  becomes,
});

/** An option that belongs to another command of kvmsnap with the same operands. */
export const MISPLACED: ReadonlyMap<string, readonly [flag: string, belongsTo: string]> = new Map([
  ['create', ['--name', 'create-as']],
]);

/** The options of virsh that have another name in a command, or that have no effect in kvmsnap. */
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
