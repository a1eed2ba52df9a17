import type { DomainState } from '../model/domain.ts';
import type { Answers } from './virsh.ts';
import { connectionFailure, lostConnection, virshFailure } from './virsh-error.ts';

/** Parses output of virsh that is not XML. */

/** Output of lists with `--name`: one name a line. `splitAnswers` has removed the blank line at the end. */
export function splitLines(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

/** The characters that virsh draws before a name in a tree (vshTreePrint in vsh.c). */
const BRANCH = /^ {2}(?:[| ] {3})*\+- /;

/**
 * Names from `snapshot-list --tree`, without names that contain a line feed. An empty line ends the last branch of a
 * root; a line that is not part of the drawing continues the name before it.
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
 * The answers, if virsh has given all of them. Throws otherwise, because a missing answer must not look like an empty
 * one.
 */
export function allAnswered({ texts, stderr }: Answers): string[] {
  if (lostConnection(stderr)) throw connectionFailure(stderr);
  return texts.map((text) => {
    if (text === null) throw virshFailure('virsh ended before it had answered all commands', stderr);
    return text;
  });
}

/** From words of `virsh domstate` (virsh-domain-monitor.c), which kvmsnap runs in English, to words of the model. */
const STATES: Readonly<Record<string, DomainState>> = { 'shut off': 'shutoff', 'in shutdown': 'shutdown' };

/** `virsh domstate --reason`, such as `shut off (destroyed)`; both are empty if it prints nothing. */
export function parseState(text: string): { state: DomainState; stateReason: string } {
  const [, words = '', reason = ''] = /^([^(\n]*?)(?: \(([^)]*)\))?\n?$/.exec(text.trim()) ?? [];
  return { state: STATES[words] ?? words, stateReason: reason === 'unknown' ? '' : reason };
}

/**
 * Words of `virsh domcontrol`: `ok`, `background job (1.2s)`, `occupied (0.1s)`; nothing for a VM that is off. True if
 * a job holds it.
 */
export const isBusy = (control: string): boolean => /^(background job|occupied)/.test(control);
