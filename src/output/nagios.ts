import type { Limit } from '../model/input/limit.ts';
import { visible } from './format.ts';

/**
 * The line of a monitoring plugin, by the guidelines of the Monitoring Plugins project: the state, a text, and performance
 * data after a bar. Nagios, Icinga, Checkmk and others read it.
 */

/** The states with their exit codes. */
export const NAGIOS_EXIT_CODES = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;

export type NagiosState = keyof typeof NAGIOS_EXIT_CODES;

/** A number that a monitoring system draws. */
export interface Performance {
  /** Without equals sign and quotes. */
  readonly label: string;
  readonly value: number;
  /** Seconds, bytes, or a number. */
  readonly unit: 's' | 'B' | '';
  readonly limit?: Limit | null;
}

/** A reader of this many characters of the text is enough; Nagios itself takes 8 KB. */
const MOST_TEXT = 1000;

/** One line with a line feed. `text` may contain anything. */
export function nagiosLine(
  state: NagiosState,
  text: string,
  performanceData: readonly Performance[] = [],
): string {
  // a bar would begin the performance data
  const plain = visible(text.replace(/\s+/g, ' ').trim().replaceAll('|', '/'));
  const shown = plain.length > MOST_TEXT ? `${plain.slice(0, MOST_TEXT - 4)} ...` : plain;
  const data = performanceData.map(datumText).join(' ');
  return `KVMSNAP ${state} - ${shown}${data === '' ? '' : ` | ${data}`}\n`;
}

/** `label=value[unit];warn;crit;min` */
const datumText = ({ label, value, unit, limit }: Performance): string =>
  `${label}=${value}${unit};${limit?.warn?.amount ?? ''};${limit?.crit.amount ?? ''};0`;

/** The line about a failure of kvmsnap itself: the state is unknown. */
export const unknownLine = (error: unknown): string =>
  nagiosLine('UNKNOWN', error instanceof Error ? error.message : String(error));
