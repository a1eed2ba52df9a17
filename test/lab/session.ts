// A raw virsh that stays: to start one takes more of the processor than most of its answers.
import { execFileSync, spawn } from 'node:child_process';
import { constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { virshQuote } from '../../src/model/quote.ts';

/** Reads, and what done twice is as done once: when it fails in any way, a virsh of its own is asked again. */
const REPEATABLE = [
  'checkpoint-list',
  'define',
  'domblklist',
  'domcontrol',
  'domid',
  'domjobinfo',
  'domstate',
  'dumpxml',
  'list',
  'snapshot-current',
  'snapshot-dumpxml',
  'snapshot-list',
];

/** What is done once: only when libvirtd has just answered, and then an error is its error. */
const ONCE = [
  'destroy',
  'resume',
  'snapshot-create',
  'snapshot-create-as',
  'snapshot-delete',
  'snapshot-revert',
  'start',
  'suspend',
  'undefine',
];

/** What virsh's own line editor takes as it stands. */
const PLAIN = /^[ -~]*$/;

const isRepeatable = ([command = '', ...rest]: readonly string[]): boolean =>
  REPEATABLE.includes(command) || (command === 'qemu-monitor-command' && /^xp /.test(rest.at(-1) ?? ''));

const [BEGIN, END, NEXT] = ['@@begin@@', '@@end@@', '@@next@@'];

interface Session {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

interface Answer {
  readonly code: 0 | 1;
  readonly stdout: string;
  readonly stderr: string;
}

let session: Session | null = null;

/** What virsh answers to a command as one of its own would; null when it must be one of its own. */
export function bySession(args: readonly string[]): Answer | null {
  if (!args.every((word) => PLAIN.test(word))) return null;
  if (isRepeatable(args)) return successOf(args);
  return ONCE.includes(args[0] ?? '') && successOf(['list', '--uuid']) ? answerTo(args) : null;
}

/** Null when it said anything on stderr: an error, or that libvirtd was lost. */
function successOf(args: readonly string[]): Answer | null {
  const answer = answerTo(args);
  return answer?.stderr === '' ? answer : null;
}

/** Null when this virsh has ended, or does not understand the command. */
function answerTo(args: readonly string[]): Answer | null {
  try {
    session ??= openSession();
    return ask(session, args);
  } catch {
    session = null;
    return null;
  }
}

/** Under another name, so that no test takes it for a virsh of kvmsnap's. */
const SCRIPT = 'exec -a lab-session virsh <"$1" >"$2" 2>"$3"';

function openSession(): Session {
  const directory = mkdtempSync(join(tmpdir(), 'virsh-'));
  const paths = ['in', 'out', 'err'].map((name) => join(directory, name)) as [string, string, string];
  execFileSync('mkfifo', paths);
  const stderr = openSync(paths[2], constants.O_RDONLY | constants.O_NONBLOCK);
  const env = { ...process.env, LC_ALL: 'C.UTF-8', LANGUAGE: '' };
  spawn('bash', ['-c', SCRIPT, 'bash', ...paths], { stdio: 'ignore', env }).unref();
  const [stdin, stdout] = [openSync(paths[0], 'w'), openSync(paths[1], 'r')];
  rmSync(directory, { recursive: true });
  return { stdin, stdout, stderr };
}

function ask({ stdin, stdout, stderr }: Session, args: readonly string[]): Answer | null {
  writeSync(stdin, `echo ${BEGIN}; ${args.map(virshQuote).join(' ')}; echo ${END}\necho ${NEXT}\n`);
  const text = readUntil(stdout, `\n${NEXT}\n`);
  // before the first mark stands what virsh echoes of the line
  const from = text.indexOf(`\n${BEGIN}\n`) + BEGIN.length + 2;
  const to = text.indexOf(`\n${END}\n`) + 1;
  const said = readAll(stderr);
  if (to === 0) return null; // of a line that it does not understand it does nothing
  return {
    code: said.includes('error: ') ? 1 : 0,
    stdout: text.slice(from, to),
    stderr: said,
  };
}

function readUntil(stdout: number, mark: string): string {
  const parts: Buffer[] = [];
  const end = Buffer.from(mark);
  for (let text = Buffer.alloc(0); !text.includes(end); text = Buffer.concat(parts)) {
    const part = Buffer.alloc(1 << 16);
    const length = readSync(stdout, part);
    if (length === 0) throw new Error('virsh has ended');
    parts.push(part.subarray(0, length));
  }
  return Buffer.concat(parts).toString();
}

/** What has come through a pipe that does not block; virsh writes its errors before the end of its answer. */
function readAll(stderr: number): string {
  const part = Buffer.alloc(1 << 16);
  let text = '';
  try {
    for (let length = readSync(stderr, part); length > 0; length = readSync(stderr, part))
      text += part.toString('utf8', 0, length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return text;
}
