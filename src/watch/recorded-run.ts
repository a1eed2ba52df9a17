import { KvmsnapError } from '../errors.ts';
import type { Selection } from '../model/input/selection.ts';
import { formatMetrics, type Series } from '../output/prometheus.ts';
import type { Context } from '../run/context.ts';
import { NOTHING_READ, type Reading, type Recording } from '../run/recording.ts';
import { toSelection } from '../run/select-options.ts';
import { assembleVm, type Vm } from '../vm/load.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import { measureFreed } from './freed.ts';
import { afterRun, groupsOf, seriesOf } from './metrics.ts';
import { addRuns, readMetricsFile } from './metrics-file.ts';
import type { Act, Recorded } from './recorded.ts';

/** Runs a command, reads its VMs again, and writes the metrics to stdout or a file, however the command has ended. */

/** Returns the exit code, or throws what `act` throws. Throws `usage` before it for a file that cannot be replaced. */
export async function recordRun(
  ctx: Context,
  { command, words, options }: Recorded,
  act: Act,
): Promise<number> {
  const { dryRun, output, metrics: file } = ctx.settings;
  const toStdout = output === 'prometheus';
  if (dryRun && toStdout) throw new KvmsnapError('usage', '-o prometheus cannot be combined with --dry-run');
  if (dryRun) return (await act()) || 0;
  if (file !== null) await readMetricsFile(file);
  const label = options.label ?? null;
  const record = async (succeeded: boolean) => {
    const run = { command, label, succeeded, endedAt: Math.floor(ctx.clock.now() / 1000) };
    const reading = await readVms(ctx, toSelection(words, withAll(command, words, options)), label);
    if (ctx.host) return ctx.host.gatherMetrics({ host: ctx.host.name, run, reading }, file);
    await publish(ctx, [{ host: null, run, reading }]);
  };
  let exitCode: number;
  try {
    exitCode = (await act()) || 0;
  } catch (error) {
    // the failure of the action is the one to report
    await record(false).catch((failure: unknown) => noteUnrecorded(ctx, failure));
    throw error;
  }
  await record(exitCode === 0);
  return exitCode;
}

/** Prints metrics, and adds them to the file, as the settings ask for. Throws `refused`. */
export async function publish(
  { settings, terminal }: Pick<Context, 'settings' | 'terminal'>,
  recordings: readonly Recording[],
): Promise<void> {
  if (settings.output === 'prometheus')
    terminal.print(formatMetrics(recordings.reduce<readonly Series[]>(afterRun, [])));
  if (settings.metrics !== null) await addRuns(settings.metrics, recordings);
}

/** `check` without names checks all VMs. */
const withAll = (command: string, words: readonly string[], options: Recorded['options']) =>
  command === 'check' && words.length === 0 ? { ...options, all: true } : options;

/** Notes that metrics could not be written. Throws anything else. */
export function noteUnrecorded({ terminal }: Pick<Context, 'terminal'>, failure: unknown): void {
  if (!(failure instanceof KvmsnapError)) throw failure;
  terminal.note(`warning: ${failure.message}`);
}

/** The metrics of the selected VMs; what cannot be read is left out, with a warning. */
async function readVms(ctx: Context, selection: Selection, label: string | null): Promise<Reading> {
  try {
    const selected = await readSelection(ctx, selection);
    const known = await readAllSnapshots(ctx, selected);
    const vms = new Map<string, readonly Series[]>();
    const unread: string[] = [];
    for (const { vm, reading, leftOut } of selected.targets) {
      const read = reading instanceof KvmsnapError ? undefined : known.get(reading.domain.uuid);
      if (reading instanceof KvmsnapError || (read?.unread.length ?? 0) > 0) unread.push(vm.name);
      else
        vms.set(
          vm.name,
          await metricsOf(ctx, await assembleVm(ctx, reading, read ?? NONE), leftOut ? null : label),
        );
    }
    return { vms, unread, isAll: isEverything(selection) };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    ctx.terminal.note(`warning: the metrics of the VMs are those of an earlier run: ${error.message}`);
    return NOTHING_READ;
  }
}

const NONE = { snapshots: [], unread: [] };

const isEverything = ({ all, exclude, states }: Selection): boolean =>
  all && exclude.length === 0 && states.length === 0;

async function metricsOf(ctx: Context, vm: Vm, label: string | null): Promise<Series[]> {
  const series: Series[] = [];
  for (const group of groupsOf(vm, label)) {
    const freed = await measureFreed(
      ctx,
      vm,
      group.kept.map(({ name }) => name),
    );
    series.push(...seriesOf(vm.domain.name, group, freed));
  }
  return series;
}
