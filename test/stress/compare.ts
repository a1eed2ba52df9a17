import { inText } from '../../src/model/text.ts';
// One fault under raw virsh and under kvmsnap, and what is wrong with what kvmsnap made of it.

import { join } from 'node:path';
import { FAILURES } from '../../src/errors.ts';
import { type CliResult, kvmsnap } from '../lab/cli.ts';
import { scratch } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { byteIn, bytes, fitting, keeps, tagNames } from '../scene/steps.ts';
import { destroy, start, state, stateAndReason, type Vm } from '../scene/vm.ts';
import { imageFlaws } from '../scene/whole.ts';
import { type Condition, type Fault, OLD, titleOf } from './fault.ts';
import { type Actor, type Interrupted, interrupt } from './interrupt.ts';

/** What a fault has left of a VM, by virsh and by the images. */
interface Remains {
  readonly state: string;
  readonly reason: string;
  /** On each disk; null where it is not the same everywhere. */
  readonly bytes: readonly (number | null)[];
  readonly names: readonly string[];
  readonly tags: readonly (readonly string[])[];
  readonly current: string | null;
  /** `old` is in libvirt and in each disk, with its content. */
  readonly hasOld: boolean;
  readonly isDone: boolean;
}

export interface Outcome {
  readonly fault: Fault;
  /** Null where virsh alone knows no such thing. */
  readonly virsh: Remains | null;
  readonly kvmsnap: Remains;
  readonly exit: number | null;
  readonly stderr: string;
  /** The rules by which check then found something. */
  readonly found: readonly string[];
  /** All that is wrong, each in a line. */
  readonly wrong: readonly string[];
}

/** Runs virsh and kvmsnap under one fault, each on a VM of its own, made alike; check must then see all damage, and fix it. */
export async function compareUnderFault(fault: Fault): Promise<Outcome> {
  const raw =
    fault.blow === 'stopped' || fault.hit === 'kvmsnap' ? null : await runInterrupted(fault, 'virsh');
  const { vm, result, remains, readExit } = await runInterrupted(fault, 'kvmsnap');
  const found = await check(vm);
  const wrong = [
    ...worse(fault, remains, raw?.remains ?? null),
    ...(result === null ? [] : falseClaims(fault, remains, result)),
    ...(readExit === null || readExit === FAILURES['timed-out'].exitCode ? [] : [`list: exit ${readExit}`]),
    ...unnoticed(remains, found),
    ...(await fix(vm, fault.condition)),
  ];
  return {
    fault,
    virsh: raw?.remains ?? null,
    kvmsnap: remains,
    exit: result?.code ?? null,
    stderr: result?.stderr ?? '',
    found,
    wrong,
  };
}

async function runInterrupted(fault: Fault, actor: Actor): Promise<Interrupted & { remains: Remains }> {
  const done = await interrupt(fault, actor, `by-${actor}`);
  const remains = look(done.vm, fault);
  if (actor === 'virsh') destroy(done.vm);
  return { ...done, remains };
}

function look(vm: Vm, { operation }: Fault): Remains {
  const names = snapshotNames(vm);
  const tags = tagNames(vm);
  const whole = [names, ...tags].every((list) => list.filter((name) => name === 'old').length === 1);
  return {
    state: state(vm),
    reason: stateAndReason(vm),
    bytes: bytes(vm),
    names,
    tags,
    current: currentSnapshot(vm),
    hasOld: whole && keeps(vm, 'old', OLD),
    isDone: operation.isDone(vm),
  };
}

/** How much of a running guest is left: it runs, it waits, it is gone. */
const RANKS = ['shut off', 'paused', 'running'];

/** What is worse than virsh alone has left it, or, where it has no say, than what nothing has happened to. */
function worse({ condition, byChance }: Fault, ours: Remains, virsh: Remains | null): string[] {
  const atOdds = ({ bytes }: Remains) => new Set(bytes).size > 1;
  const better = virsh ?? { state: condition, hasOld: true };
  const least = byChance ? 'shut off' : better.state;
  return [
    ...(RANKS.indexOf(ours.state) < RANKS.indexOf(least)
      ? [`the VM is ${ours.state}, at least ${least} under virsh`]
      : []),
    ...(!ours.hasOld && better.hasOld ? ['old is lost'] : []),
    ...(atOdds(ours) && !(virsh && atOdds(virsh)) ? ['the disks are at odds'] : []),
  ];
}

/** What kvmsnap said against what is; nothing of one that was killed. */
function falseClaims(
  { condition, blow, hit }: Fault,
  is: Remains,
  { code, stdout, stderr }: CliResult,
): string[] {
  if (hit === 'kvmsnap') return is.isDone ? [] : ['virsh went on alone, and it is not done'];
  const must = (holds: boolean, what: string) => (holds ? [] : [what]);
  const says = (words: string) => stderr.includes(words);
  if (blow === 'stopped') {
    return [
      ...must(code === FAILURES['timed-out'].exitCode && says('libvirtd continues with'), `exit ${code}`),
      ...must(is.isDone, 'libvirtd went on, and it is not done'),
    ];
  }
  const current = must(
    is.current !== null || says('as the current snapshot') || says('no longer has a current snapshot'),
    'not a word on the lost current',
  );
  if (code === 0) return [...must(is.isDone, `exit 0, and it is not done: ${stdout}`), ...current];
  const codes: number[] = Object.values(FAILURES).map(({ exitCode }) => exitCode);
  const orphans = orphansOf(is);
  return [
    ...must(code !== null && codes.includes(code) && code !== FAILURES.bug.exitCode, `exit ${code}`),
    ...must(/^error: /m.test(stderr) && !/^\s+at /m.test(stderr), 'no proper error'),
    ...must(
      is.state === condition || says(`the VM was ${condition} and is now ${is.state}`),
      'not a word on the state',
    ),
    ...orphans.flatMap((name) =>
      must(
        says(`${inText(name)} that is not registered in libvirt`) ||
          says(`the images still contain it: ${inText(name)}`),
        `not a word on the orphan ${name}`,
      ),
    ),
    ...current,
    ...must(
      new Set(is.bytes).size === 1 || says('some of the disks') || says('is uncertain'),
      'not a word on disks at odds',
    ),
    ...missingFrom(is).flatMap((name) =>
      must(says(`${inText(name)} is no longer in disk`), `not a word on the rest of ${name}`),
    ),
  ];
}

const orphansOf = ({ names, tags }: Remains): string[] => [
  ...new Set(tags.flat().filter((name) => !names.includes(name))),
];

/** The snapshots that one of the disks does not have. */
const missingFrom = ({ names, tags }: Remains): string[] =>
  names.filter((name) => tags.some((list) => !list.includes(name)));

/** The damage that check must have found, and what it found that is none. */
function unnoticed(is: Remains, found: readonly string[]): string[] {
  const missing = missingFrom(is);
  const gone = missing.filter((name) => is.tags.every((tags) => !tags.includes(name)));
  const damage = [
    ...(is.state === 'paused' ? ['left-paused'] : []),
    ...(orphansOf(is).length > 0 ? ['orphan-tag'] : []),
    ...(gone.length > 0 ? ['no-data'] : []),
    ...(missing.length > gone.length ? ['missing-tag'] : []),
    ...(is.current === null && is.names.length > 0 ? ['no-current'] : []),
  ];
  return [
    ...damage.filter((rule) => !found.includes(rule)).map((rule) => `check overlooks ${rule}`),
    ...found.filter((rule) => !damage.includes(rule)).map((rule) => `check finds ${rule}`),
  ];
}

/** The rules by which check finds damage. */
async function check(vm: Vm): Promise<string[]> {
  const { stdout } = await kvmsnap(['--json', 'check', vm.name]);
  const found = fitting('check', JSON.parse(stdout)).domains.flatMap(({ findings }) => findings);
  const damage = found.filter(({ level, rule }) => level !== 'information' || rule === 'no-current');
  return [...new Set(damage.map(({ rule }) => rule))].sort();
}

/** Has check fix it, off where that must be; then all must work again. What does not, each in a line. */
async function fix(vm: Vm, condition: Condition): Promise<string[]> {
  const env = { XDG_STATE_HOME: join(scratch, 'state') };
  const fix = () => kvmsnap(['check', vm.name, '--fix', '--yes'], { env });
  if ((await fix()).code !== 0) {
    destroy(vm);
    const { code, stdout, stderr } = await fix();
    if (code !== 0) return [`check --fix: exit ${code}: ${stdout}${stderr}`];
  }
  if (condition === 'running' && state(vm) === 'shut off') start(vm);
  const wrong: string[] = [];
  for (const args of [
    ['create-as', vm.name, 'next'],
    ['revert', vm.name, 'next'],
    ['revert', vm.name, 'old'],
    ['delete', vm.name, 'next'],
    ['check', vm.name],
  ]) {
    const { code, stderr } = await kvmsnap(args);
    if (code !== 0) wrong.push(`afterwards, ${args.join(' ')}: exit ${code}: ${stderr}`);
  }
  if (!vm.disks.every(({ path }) => byteIn(path) === OLD))
    wrong.push('the revert has not brought the disks back');
  destroy(vm);
  return [...wrong, ...imageFlaws(vm).filter((flaw) => !flaw.endsWith(', 0 corruptions'))];
}

/** The outcomes as a Markdown table. */
export function faultTable(outcomes: readonly Outcome[]): string {
  const shown = (is: Remains | null) =>
    is === null
      ? ''
      : `${is.isDone ? 'done' : 'not done'}, ${is.reason}${new Set(is.bytes).size > 1 ? ', disks at odds' : ''}${orphansOf(is).length > 0 ? ', orphan' : ''}${is.current === null ? ', no current' : ''}`;
  const rows = outcomes.map(({ fault, virsh, kvmsnap, exit, found }) => [
    titleOf(fault),
    shown(virsh),
    shown(kvmsnap),
    exit === null ? 'killed' : String(exit),
    found.join(', '),
  ]);
  const titles = ['fault', 'left by virsh', 'left by kvmsnap', 'exit', 'check finds'];
  return [titles, titles.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
