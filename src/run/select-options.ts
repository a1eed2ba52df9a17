import { KvmsnapError } from '../errors.ts';
import type { Selection } from '../model/selection.ts';

/** The options by which a command line means machines. */

export interface SelectionOptions {
  readonly all?: boolean;
  readonly exclude?: readonly string[];
  readonly state?: readonly string[];
  /** More VMs, for the commands whose other arguments are snapshots. */
  readonly vm?: readonly string[];
  readonly jobs?: number;
}

export interface SkipOptions {
  readonly strict?: boolean;
}

/** Throws `usage` when no VM is named, or some beside `--all`. */
export function toSelection(words: readonly string[], options: SelectionOptions): Selection {
  const { all = false, exclude = [], state = [], vm = [] } = options;
  const wanted = [...words, ...vm];
  if (wanted.length === 0 && !all)
    throw new KvmsnapError('usage', 'say which VMs: names, patterns, or --all');
  if (wanted.length > 0 && all) throw new KvmsnapError('usage', '--all and names exclude each other');
  return { words: wanted, all, exclude, states: state };
}
