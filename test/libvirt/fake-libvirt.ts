import type { Exec, Executed, Tool } from '../../src/host/process/exec.ts';
import { createVirsh, type Virsh } from '../../src/libvirt/virsh.ts';
import { parseScript } from './virsh-script.ts';

/** A libvirt in memory behind virsh's words: its look-up order, its blank lines, its exit code of the last command. */

export interface FakeVm {
  readonly name: string;
  readonly uuid: string;
  /** While it runs. */
  id?: number;
  /** As `domstate --reason` prints it. */
  state: string;
  /** As `domcontrol` prints it while the VM runs; `ok` unless told. */
  control?: string;
  xml: string;
  /** `snapshot-dumpxml` by name, in the order of `snapshot-list`. */
  snapshots: ReadonlyMap<string, string>;
  current: string | null;
  checkpoints?: readonly string[];
  managedSave?: boolean;
  /** As `managedsave-dumpxml` prints it; absent: it cannot be read. */
  saved?: string;
}

/** What a command is answered with instead of the ordinary: a text, or a failure. */
export type Answer = string | Failure;

export class Failure {
  readonly stderr: string;
  constructor(stderr: string) {
    this.stderr = stderr;
  }
}

export interface FakeLibvirt {
  readonly virsh: Virsh;
  readonly exec: Exec;
  readonly vms: FakeVm[];
  uri: string;
  /** Every command that virsh was shown, in order. */
  readonly commands: string[][];
  /** The arguments of every process. */
  readonly processes: string[][];
  /** Asked before each command; undefined leaves it to the ordinary answer. */
  intercept: (command: readonly string[], process: number) => Answer | undefined;
  /** Asked for each process; a text is what it printed to stderr when it died before its first command. */
  die: (process: number) => string | undefined;
}

export function fakeLibvirt(vms: FakeVm[], uri: string | null = null): FakeLibvirt {
  const run = async (tool: Tool, args: readonly string[]): Promise<Executed> => {
    if (tool !== 'virsh') throw new Error(`no ${tool} here`);
    fake.processes.push([...args]);
    const words = (args[0] === '-c' ? args.slice(2) : args).filter((word) => word !== '-t');
    const last = fake.die(fake.processes.length);
    if (last !== undefined) return { stdout: '', stderr: last, exitCode: last === '' ? null : 1 };
    return runAll(fake, words.length === 1 ? parseScript(words[0] ?? '') : [[...words]]);
  };
  const exec: Exec = {
    read: run,
    write: run,
    writeToTheEnd: run,
    start: (tool, args) => ({
      ended: run(tool, args),
      end: () => undefined,
      said: () => '',
      errors: () => '',
    }),
    setRight: async (tool, args) => void (await run(tool, args)),
  };
  const fake: FakeLibvirt = {
    exec,
    virsh: createVirsh(exec, uri, 'nonce'),
    vms,
    uri: uri ?? 'qemu:///system',
    commands: [],
    processes: [],
    intercept: () => undefined,
    die: () => undefined,
  };
  return fake;
}

function runAll(fake: FakeLibvirt, commands: readonly string[][]): Executed {
  let stdout = '';
  let stderr = '';
  let exitCode = 0;
  for (const command of commands) {
    if (command[0] !== 'echo') fake.commands.push(command);
    const answer = fake.intercept(command, fake.processes.length) ?? ordinaryAnswer(fake, command);
    if (answer instanceof Failure) stderr += answer.stderr;
    stdout += answer instanceof Failure ? '\n' : answer;
    exitCode = answer instanceof Failure ? 1 : 0;
  }
  return { stdout, stderr, exitCode };
}

function ordinaryAnswer(fake: FakeLibvirt, [verb = '', ...options]: readonly string[]): Answer {
  if (verb === 'echo') return `${options.join(' ')}\n`;
  if (verb === 'uri') return `${fake.uri}\n\n`;
  if (verb === 'list') return list(fake.vms, options);
  const word = optionValue(options, '--domain') ?? '';
  const vm = findNames(fake.vms, word);
  if (!vm) return new Failure(`error: failed to get domain '${word}'\n`);
  const answer = ABOUT_VM[verb];
  if (!answer) throw new Error(`virsh has no command ${verb} here`);
  return answer(vm, options);
}

function list(vms: readonly FakeVm[], options: readonly string[]): string {
  const shown = vms.filter(
    ({ managedSave, state }) =>
      !options.includes('--transient') &&
      (managedSave || !options.includes('--with-managed-save')) &&
      (state.startsWith('paused') || !options.includes('--state-paused')),
  );
  const line = ({ uuid, name }: FakeVm) => (options.includes('--name') ? `${uuid} ${name}\n` : `${uuid}\n`);
  return `${shown.map(line).join('')}\n`;
}

/** As virsh does it: by id, then by UUID, then by name (hazard 1). */
function findNames(vms: readonly FakeVm[], word: string): FakeVm | undefined {
  return (
    vms.find(({ id }) => /^\s*\+?\d+$/.test(word) && id === Number(word)) ??
    vms.find(({ uuid }) => uuid === word.toLowerCase()) ??
    vms.find(({ name }) => name === word)
  );
}

export function optionValue(options: readonly string[], name: string): string | undefined {
  const at = options.indexOf(name);
  return at < 0 ? undefined : options[at + 1];
}

const ABOUT_VM: Readonly<Record<string, (vm: FakeVm, options: readonly string[]) => Answer>> = {
  domname: ({ name }) => `${name}\n\n`,
  dumpxml: ({ xml }) => `${xml.trimEnd()}\n\n`,
  'managedsave-dumpxml': ({ name, managedSave, saved }) =>
    managedSave && saved !== undefined
      ? `${saved.trimEnd()}\n\n`
      : new Failure(`error: Failed to get domain XML of the managed save of '${name}'\n`),
  domstate: ({ state }) => `${state}\n\n`,
  domcontrol: ({ state, control = 'ok' }) =>
    state.startsWith('shut off')
      ? new Failure('error: Requested operation is not valid: domain is not running\n')
      : `${control}\n\n`,
  domuuid: ({ uuid }) => `${uuid}\n\n`,
  'snapshot-list': ({ snapshots }, options) =>
    options.includes('--tree')
      ? `${[...snapshots.keys()].map((name) => `${name}\n\n`).join('')}\n`
      : lines([...snapshots.keys()]),
  'checkpoint-list': ({ checkpoints = [] }) => lines(checkpoints),
  'snapshot-current': ({ name, current }) =>
    current === null ? new Failure(`error: domain '${name}' has no current snapshot\n`) : `${current}\n`,
  'snapshot-dumpxml': ({ snapshots }, options) => {
    const name = optionValue(options, '--snapshotname') ?? '';
    const xml = snapshots.get(name);
    return xml === undefined
      ? new Failure(`error: Domain snapshot not found: no domain snapshot with matching name '${name}'\n`)
      : `${xml.trimEnd()}\n\n`;
  },
};

const lines = (names: readonly string[]): string => `${names.map((name) => `${name}\n`).join('')}\n`;
