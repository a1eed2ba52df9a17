import * as z from 'zod/mini';
import { check } from './contract/check.ts';
import { clone } from './contract/clone.ts';
import { create } from './contract/create.ts';
import { deletion } from './contract/delete.ts';
import { dryRun } from './contract/dry-run.ts';
import { exported } from './contract/export.ts';
import { history } from './contract/history.ts';
import { hosts } from './contract/hosts.ts';
import { info, infoSnapshot } from './contract/info.ts';
import { current, list } from './contract/list.ts';
import { FAILURE } from './contract/members.ts';
import { merge } from './contract/merge.ts';
import { open } from './contract/open.ts';
import { policy } from './contract/policy.ts';
import { prune } from './contract/prune.ts';
import { revert, revertGroup } from './contract/revert.ts';
import { space } from './contract/space.ts';
import { verify, verifyLabel } from './contract/verify.ts';

/**
 * The JSON documents of `-o json`, one per command: the contract with scripts. Names are in camelCase, sizes in bytes,
 * times in RFC 3339 with offset; absent values are null. A later version may add members; `schemaVersion` changes if a
 * member changes.
 */

/**
 * By command (`current` also for hold, unhold and describe). `hosts` is what any command prints if a host is named. `dry-run` is what every command that changes something
 * prints with `--dry-run`; `error` goes to stderr.
 */
export const DOCUMENTS = {
  list,
  current,
  create,
  revert,
  'revert-group': revertGroup,
  delete: deletion,
  prune,
  policy,
  check,
  space,
  info,
  'info-snapshot': infoSnapshot,
  history,
  merge,
  export: exported,
  clone,
  verify,
  'verify-label': verifyLabel,
  hosts,
  open,
  'dry-run': dryRun,
  error: z.object({
    error: z.object({ ...FAILURE, exitCode: z.int() }),
  }),
} as const;

export type DocumentName = keyof typeof DOCUMENTS;

/** A document without its `schemaVersion`, which is added when it is printed. */
export type Document<Name extends DocumentName> = Omit<
  Unchanging<z.infer<(typeof DOCUMENTS)[Name]>>,
  'schemaVersion'
>;

/** The same type, deeply read-only. */
export type Unchanging<Value> = Value extends readonly (infer Item)[]
  ? readonly Unchanging<Item>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Unchanging<Value[Key]> }
    : Value;
