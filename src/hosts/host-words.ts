import type { AnyCommand } from '../command-line/commander.ts';
import { commandCalled, optionsOf, splitLine } from '../command-line/line.ts';
import { meaningOf } from '../command-line/meaning.ts';
import { partsOf } from '../command-line/parts.ts';
import { Verb } from '../command-line/verb.ts';
import { isAddress } from './hosts-file.ts';

/** The words of a command line that name a VM with its host: `HOST:VM`, `HOST:VM/NAME`. */

/** Such a word, by its place in the line. */
export interface HostWord {
  readonly at: number;
  readonly word: string;
  readonly host: string;
  /** What is behind the colon. */
  readonly rest: string;
}

export interface LineWords {
  /** The words of the line that name a VM: all of them, with or without a host. */
  readonly vms: readonly { readonly at: number; readonly word: string }[];
  readonly withHost: readonly HostWord[];
}

/** Finds them where the command takes VMs; a snapshot's name may contain a colon, and a `VM/NAME` stands where a VM does. */
export function findHostWords(program: AnyCommand, words: readonly string[]): LineWords {
  const line = splitLine(program, words);
  const command = line && commandCalled(program, line.command);
  if (!line || !command) return { vms: [], withHost: [] };
  let at = line.head.length + 1;
  const operands: { at: number; word: string }[] = [];
  for (const part of partsOf(optionsOf(program, command), line.rest)) {
    if (part.kind === 'operand') operands.push({ at, word: part.words[0] });
    at += part.words.length;
  }
  const { registeredArguments: known } = command;
  const meaningAt = (i: number) => {
    const argument = known[i] ?? (known.at(-1)?.variadic ? known.at(-1) : undefined);
    return argument ? meaningOf(argument) : 'text';
  };
  // `delete kvm1:web/s1 kvm2:db/s2`: the other words stand for VMs too
  const arePairs = operands[0]?.word.includes('/') === true && meaningAt(0) === 'vm';
  const vms = operands.filter(({ word }, i) => {
    const meaning = meaningAt(i);
    return meaning === 'vm' || (arePairs && word.includes('/') && String(meaning).startsWith('snapshot'));
  });
  return {
    vms,
    withHost: vms.flatMap(({ at, word }) => {
      const [, host, rest] = /^([^:/]+):(.+)$/s.exec(word) ?? [];
      return host !== undefined && rest !== undefined && isAddress(host) ? [{ at, word, host, rest }] : [];
    }),
  };
}

/** The line for one host: its own words without the host, and none that are of another one. */
export function lineFor(words: readonly string[], named: readonly HostWord[], host: string): string[] {
  const byPlace = new Map(named.map((each) => [each.at, each]));
  return words.flatMap((word, at) => {
    const found = byPlace.get(at);
    if (!found) return [word];
    return found.host === host ? [found.rest] : [];
  });
}

/** A line, and the program that knows its commands. */
interface KnownLine {
  readonly program: AnyCommand;
  readonly words: readonly string[];
}

/** The command of the line; null if it is none of kvmsnap's. */
export function verbOf({ program, words }: KnownLine): Verb | null {
  const line = splitLine(program, words);
  const verb = line && commandCalled(program, line.command);
  return verb instanceof Verb ? verb : null;
}

/** The long names of the options that the line has. */
export function givenOptions({ program, words }: KnownLine): string[] {
  const line = splitLine(program, words);
  const command = line && commandCalled(program, line.command);
  if (!line || !command) return [];
  return partsOf(optionsOf(program, command), line.rest).flatMap((part) =>
    part.kind === 'options' ? part.uses.flatMap(([{ long }]) => long ?? []) : [],
  );
}
