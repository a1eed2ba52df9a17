import * as z from 'zod/mini';
import { DomainName, Snapshot, versioned } from './members.ts';

/** `revert`. */

export const revert = versioned({ domain: DomainName, snapshot: Snapshot, backup: z.nullable(Snapshot) });
