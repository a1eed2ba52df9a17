import * as z from 'zod/mini';
import { DomainName, FAILURE, Snapshot, versioned } from './members.ts';

/** `list`, and `current`. */

const Domain = z.object({
  name: z.string(),
  /** null if there is no such VM; then `errors` says so, and the name is the word from the command line. */
  uuid: z.nullable(z.string()),
  /** null if the VM could not be read. */
  state: z.nullable(z.string()),
  current: z.nullable(z.string()),
  snapshots: z.array(Snapshot),
  /** Why the VM, or some of its snapshots, could not be read. */
  errors: z.array(z.object(FAILURE)),
  /** Snapshots that libvirt lists but that could not be read. */
  failed: z.array(z.object({ name: z.string(), ...FAILURE })),
});

export const list = versioned({ domains: z.array(Domain) });

export const current = versioned({ domain: DomainName, snapshot: Snapshot });
