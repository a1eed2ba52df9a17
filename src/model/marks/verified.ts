/**
 * The result of the last `kvmsnap verify` of a snapshot: a line at the end of the description (before the hold), because libvirt stores
 * no other user data with a snapshot.
 */
const MARK = 'Kvmsnap-Verified: ';

export interface Verified {
  /** Seconds since the epoch. */
  readonly atSeconds: number;
  readonly outcome: 'proven' | 'not proven' | 'failed';
  /** What was seen of the guest, in words. */
  readonly seen: string;
}

const LINE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (proven|not proven|failed): (.*)$/;

/** Separates a description without the hold into its text and the result. A line that is no mark of ours stays text. */
export function parseVerified(description: string | null): {
  readonly text: string | null;
  readonly verified: Verified | null;
} {
  const none = { text: description, verified: null };
  if (description === null) return none;
  const start = description.lastIndexOf('\n') + 1;
  const line = description.slice(start);
  const [, at = '', outcome, seen = ''] = (line.startsWith(MARK) && LINE.exec(line.slice(MARK.length))) || [];
  const milliseconds = Date.parse(at);
  if (outcome === undefined || Number.isNaN(milliseconds)) return none;
  return {
    text: description.slice(0, start).replace(/\n{1,2}$/, '') || null,
    verified: { atSeconds: milliseconds / 1000, outcome: outcome as Verified['outcome'], seen },
  };
}

/** The description with the result, after an empty line; unchanged if there is none. */
export function withVerified(text: string | null, verified: Verified | null): string | null {
  if (verified === null) return text;
  const at = new Date(verified.atSeconds * 1000).toISOString().replace(/\.\d+/, '');
  const seen = verified.seen.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, MOST_SEEN);
  const line = `${MARK}${at} ${verified.outcome}: ${seen}`;
  return text ? `${text}\n\n${line}` : line;
}

/** libvirt prints the description in a table of virsh. */
const MOST_SEEN = 200;
