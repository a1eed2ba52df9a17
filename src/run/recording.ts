import type { Series } from '../output/prometheus.ts';

/** What a run leaves for the metrics. */

/** A run that has ended. */
export interface EndedRun {
  readonly command: string;
  /** Of `--label`; null: none. */
  readonly label: string | null;
  readonly succeeded: boolean;
  /** Seconds since the epoch. */
  readonly endedAt: number;
}

/** What a run has read of the VMs. */
export interface Reading {
  /** By the name of the VM. */
  readonly vms: ReadonlyMap<string, readonly Series[]>;
  /** VMs that could not be read. */
  readonly unread: readonly string[];
  /** Whether these are all VMs, so that any other does not exist any more. */
  readonly isAll: boolean;
}

/** The end of a run on one host. */
export interface Recording {
  /** Null: no host was named. */
  readonly host: string | null;
  readonly run: EndedRun;
  readonly reading: Reading;
}

export const NOTHING_READ: Reading = { vms: new Map(), unread: [], isAll: false };
