import * as z from 'zod/mini';
import { INTERPRETED, KvmsnapError } from '../errors.ts';

/** The file of `history`: JSON, with the XML of each snapshot as libvirt prints it. */

const History = z.object({
  /** The version of the format. */
  kvmsnapHistory: z.literal(1),
  savedAt: z.string(),
  vm: z.object({ name: z.string(), uuid: z.string() }),
  /** The name of the current snapshot; null if there is none. */
  current: z.nullable(z.string()),
  /** Parents before their children. */
  snapshots: z.array(z.object({ name: z.string(), xml: z.string() })),
});

export type History = z.infer<typeof History>;

/** The text of the file. */
export const formatHistory = (history: History): string => `${JSON.stringify(history, null, 2)}\n`;

/** Parses the text of the file with that name. Throws `usage`. */
export function parseHistory(file: string, text: string): History {
  try {
    return z.parse(History, JSON.parse(text), INTERPRETED);
  } catch (cause) {
    throw new KvmsnapError('usage', `${file} was not written by kvmsnap history save`, {
      hint: 'to register one snapshot from the XML of virsh snapshot-dumpxml: kvmsnap create VM --xml FILE --redefine',
      cause,
    });
  }
}
