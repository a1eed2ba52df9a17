import { type Wishes, wishProblem } from '../core/snapshot-plan.ts';
import { KvmsnapError } from '../errors.ts';
import { parseDiskspec, parseMemspec } from '../libvirt/disk-spec.ts';

/** The options by which a command line says what a snapshot is made of. */

/** virsh's own options, and `--external`. */
export interface WishOptions {
  readonly external?: boolean;
  readonly diskOnly?: boolean;
  readonly memspec?: string;
  readonly diskspec?: readonly string[];
  readonly live?: boolean;
  readonly halt?: boolean;
  readonly quiesce?: boolean;
  readonly atomic?: boolean;
  readonly reuseExternal?: boolean;
  /** commander's way with `--no-`. */
  readonly metadata?: boolean;
  readonly validate?: boolean;
}

/** Throws `usage` for what cannot be read, or contradicts itself. */
export function toWishes(options: WishOptions): Wishes {
  const wishes: Wishes = {
    external: options.external ?? false,
    diskOnly: options.diskOnly ?? false,
    memory: options.memspec === undefined ? null : parseMemspec(options.memspec),
    disks: (options.diskspec ?? []).map(parseDiskspec),
    live: options.live ?? false,
    halt: options.halt ?? false,
    quiesce: options.quiesce ?? false,
    atomic: options.atomic ?? false,
    reuse: options.reuseExternal ?? false,
    noMetadata: options.metadata === false,
    validate: options.validate ?? false,
    namedBy: 'kvmsnap',
  };
  const wrong = wishProblem(wishes);
  if (wrong) throw new KvmsnapError('usage', wrong.problem, { hint: wrong.hint });
  return wishes;
}
