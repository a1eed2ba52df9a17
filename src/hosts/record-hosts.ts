import type { AnyCommand } from '../command-line/commander.ts';
import type { Context } from '../run/context.ts';
import { NOTHING_READ, type Recording } from '../run/recording.ts';
import { noteUnrecorded, publish } from '../watch/recorded-run.ts';
import { runOfLine } from '../watch/unusable-line.ts';

/** The metrics of a run over hosts: one file, or one text, with the label `host`. */

/** Where a part of a run leaves its metrics. */
export interface HostRecording extends Recording {
  readonly host: string;
  /** That of `--metrics`, which may stand in a policy. */
  readonly file: string | null;
}

/**
 * Ends the run by `conclude`, and writes its metrics however it ends. A host without a recording has failed before it came to its VMs.
 * Throws what `conclude` throws, otherwise `refused` for a file that cannot be written.
 */
export async function recordHosts(
  ctx: Context,
  line: { readonly program: AnyCommand; readonly words: readonly string[] },
  hosts: readonly string[],
  recordings: readonly HostRecording[],
  conclude: () => Promise<void>,
): Promise<void> {
  const { settings, terminal, clock } = ctx;
  const metrics = settings.metrics ?? recordings.find(({ file }) => file !== null)?.file ?? null;
  const found = runOfLine(line.program, line.words);
  const isWanted = (metrics !== null || settings.output === 'prometheus') && !settings.dryRun;
  if (!isWanted || found === null) return conclude();
  const { command, label } = recordings[0]?.run ?? found;
  const failed = { command, label, succeeded: false, endedAt: Math.floor(clock.now() / 1000) };
  const all = hosts.map(
    (host): Recording =>
      recordings.find((each) => each.host === host) ?? { host, run: failed, reading: NOTHING_READ },
  );
  const write = () => publish({ settings: { ...settings, metrics }, terminal }, all);
  try {
    await conclude();
  } catch (error) {
    // the failure of the run is the one to report
    await write().catch((failure: unknown) => noteUnrecorded(ctx, failure));
    throw error;
  }
  await write();
}
