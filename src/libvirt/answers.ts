import type { DomainState } from '../model/domain.ts';
import type { Answers } from './virsh.ts';
import { connectionFailure, lostConnection, virshFailure } from './virsh-error.ts';

/** What virsh prints -> values, where it is not XML. */

/** Output of `--name` lists: one a line, and a blank line at the end, which `splitAnswers` has taken. */
export function splitLines(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/** What virsh draws before a name in a tree (vshTreePrint in vsh.c). */
const BRANCH = /^ {2}(?:[| ] {3})*\+- /;

/**
 * Names from `snapshot-list --tree`, without those that hold a line feed. A line without ink ends the last branch of a
 * root; one that is no part of the drawing goes on with the name before it.
 */
export function parseSnapshotTree(text: string): string[] {
  const names: (string | null)[] = [];
  let atRoot = true;
  for (const line of splitLines(text)) {
    const blank = /^ *$/.test(line);
    const [branch] = BRANCH.exec(line) ?? [];
    if (atRoot && !blank) names.push(line);
    else if (branch) names.push(line.slice(branch.length));
    else if (!/^[ |]*$/.test(line)) names[names.length - 1] = null;
    atRoot = blank;
  }
  return names.filter((name) => name !== null);
}

/**
 * The answers, when virsh and its connection lived to give them all: one that they did not come to must not look like an
 * empty one.
 */
export function allAnswered({ texts, stderr }: Answers): string[] {
  if (lostConnection(stderr)) throw connectionFailure(stderr);
  return texts.map((text) => {
    if (text === null) throw virshFailure('virsh ended before it had answered all', stderr);
    return text;
  });
}

/** Words of `virsh domstate` (virsh-domain-monitor.c), which kvmsnap reads in English, to the model's. */
const STATES: Readonly<Record<string, DomainState>> = { 'shut off': 'shutoff', 'in shutdown': 'shutdown' };

/** `virsh domstate --reason`, such as `shut off (destroyed)`; both are empty where it says nothing. */
export function parseState(text: string): { state: DomainState; stateReason: string } {
  const [, words = '', reason = ''] = /^([^(\n]*?)(?: \(([^)]*)\))?\n?$/.exec(text.trim()) ?? [];
  return { state: STATES[words] ?? words, stateReason: reason === 'unknown' ? '' : reason };
}

/**
 * Words of `virsh domcontrol`: `ok`, `background job (1.2s)`, `occupied (0.1s)`; nothing for a VM that is off. True
 * when a job holds it.
 */
export const isBusy = (control: string): boolean => /^(background job|occupied)/.test(control);
