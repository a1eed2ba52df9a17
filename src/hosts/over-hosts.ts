import pLimit from 'p-limit';
import { checkHostCount, checkHosts } from '../command-line/check-line.ts';
import type { AnyCommand } from '../command-line/commander.ts';
import { splitLine } from '../command-line/line.ts';
import { KvmsnapError } from '../errors.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { listDomains } from '../libvirt/domains.ts';
import type { Context, Settings } from '../run/context.ts';
import { type Progress, startProgress } from '../run/progress.ts';
import { isRemote } from '../vm/disks.ts';
import { chooseHosts } from './choose-hosts.ts';
import { conclude } from './conclude.ts';
import { ofHost } from './host-command.ts';
import { openHost } from './host-context.ts';
import { findHostWords, givenOptions, type HostWord, lineFor, verbOf } from './host-words.ts';
import type { HostResult } from './merge-views.ts';
import { findSharedVms, NOTHING_SHARED, type SharedVms } from './vms-of-several.ts';

/** Runs a command line on the hosts that it names, each part as it would run there, and shows the results together. */

type Action = (ctx: Context) => Promise<void> | Promise<number>;
type Start = (settings: Settings, action: Action) => Promise<void>;

export interface HostLine {
  /** The program that has parsed the line. */
  readonly program: AnyCommand;
  readonly words: readonly string[];
  readonly start: Start;
  /** Parses and runs a line for one host. */
  readonly again: (words: readonly string[], start: Start) => Promise<void>;
}

/** Throws what the line throws; of several hosts, `partial` if only some failed. */
export async function runOverHosts(line: HostLine): Promise<void> {
  const parsed: { settings: Settings; action: Action }[] = [];
  await line.again(line.words, async (settings, action) => void parsed.push({ settings, action }));
  const [found] = parsed;
  if (!found) return; // a command that needs no context has run
  const { settings, action } = found;
  const { vms, withHost } = findHostWords(line.program, line.words);
  if (!settings.hosts && withHost.length === 0) return line.start(settings, action);
  // each host has its own time limit
  await line.start({ ...settings, timeout: null }, async (ctx) => {
    const named = settings.hosts ? withHost : await notLocal(ctx, withHost);
    if (!settings.hosts && named.length === 0) return runHere(line.start, settings, action);
    const verb = verbOf(line);
    const given = givenOptions(line);
    if (verb) checkHosts(verb, settings.output, given);
    checkNames(settings, named, vms);
    if (settings.metrics !== null) await requireMetricsFile(settings.metrics);
    const hosts = await chosen(ctx, line, named);
    if (verb) checkHostCount(verb, given, hosts.length);
    return runOn(ctx, hosts, line, named, settings.timeout);
  });
}

/** Runs the action as if no host was named; returns its exit code. */
async function runHere(start: Start, settings: Settings, action: Action): Promise<number> {
  let code = 0;
  await start(settings, async (ctx) => {
    code = (await action(ctx)) || 0;
    return code;
  });
  return code;
}

const requireMetricsFile = async (path: string): Promise<void> =>
  void (await (await import('../watch/metrics-file.ts')).readMetricsFile(path));

/** The hosts that the line names; where that fails, so has the run. */
async function chosen(
  ctx: Context,
  { program, words }: HostLine,
  named: readonly HostWord[],
): Promise<readonly Destination[]> {
  const { hosts, metrics } = ctx.settings;
  try {
    return await (hosts ? chooseHosts(hosts, ctx.configFiles) : hostsOfWords(ctx, named));
  } catch (error) {
    if (metrics !== null)
      await (await import('../watch/unusable-line.ts')).recordUnusableLine(
        program,
        words,
        Math.floor(ctx.clock.now() / 1000),
      );
    throw error;
  }
}

/** Without those words that are a VM of this host, whose name contains a colon. */
async function notLocal(ctx: Context, words: readonly HostWord[]): Promise<readonly HostWord[]> {
  const known = await listDomains(ctx.virsh).catch((error: unknown) => {
    if (error instanceof KvmsnapError && error !== ctx.interrupts.pending) return [];
    throw error;
  });
  return words.filter(({ word }) => !known.some(({ name }) => word === name || word.startsWith(`${name}/`)));
}

function checkNames(
  settings: Settings,
  named: readonly HostWord[],
  vms: readonly { readonly word: string }[],
): void {
  const [first] = named;
  if (first && settings.hosts)
    throw new KvmsnapError(
      'usage',
      `'${first.word}' already names its host, so it cannot be combined with --host`,
    );
  const bare =
    named.length === 0
      ? undefined
      : vms.find(({ word }) => !word.startsWith('@') && !named.some((each) => each.word === word));
  if (bare)
    throw new KvmsnapError('usage', `'${bare.word}' names no host, but other VMs are named with theirs`, {
      hint: 'write HOST:VM for each VM; local:VM is a VM of this host',
    });
  if (settings.connect !== null && isRemote(settings.connect))
    throw new KvmsnapError('usage', `--connect ${settings.connect} already names another host`, {
      hint: 'with --host, give the URI as it is on that host, such as qemu:///system',
    });
}

/** The hosts of `HOST:VM` words, in their order. */
const hostsOfWords = async (ctx: Context, named: readonly HostWord[]): Promise<readonly Destination[]> =>
  chooseHosts({ names: named.map(({ host }) => host), from: null, exclude: [], atOnce: 1 }, ctx.configFiles);

async function runOn(
  ctx: Context,
  hosts: readonly Destination[],
  line: HostLine,
  named: readonly HostWord[],
  timeout: number | null,
): Promise<number> {
  const limit = pLimit(ctx.settings.hosts?.atOnce ?? hosts.length);
  const progress = startProgress(ctx, hosts.length, 'host');
  const prunes = hosts.length > 1 && PRUNING.has(verbOf(line)?.name() ?? '');
  const shared = prunes
    ? await findSharedVms(ctx, hosts, { ...ctx.settings, timeout }, limit)
    : NOTHING_SHARED;
  const options = { timeout, progress, isAlone: hosts.length === 1, shared };
  const runs = await Promise.allSettled(
    hosts.map((host) => limit(() => runOne(ctx, host, lineFor(line.words, named, host.name), line, options))),
  );
  progress.stop();
  const results = runs.map((run): HostResult => {
    if (run.status === 'rejected') throw run.reason;
    return run.value;
  });
  const code = Math.max(...results.map(({ code }) => code));
  const verb = splitLine(line.program, line.words)?.command ?? '';
  const end = () => conclude(ctx, verb, results);
  const recordings = results.flatMap(({ recording }) => recording ?? []);
  if (recordings.length === 0 && ctx.settings.metrics === null && ctx.settings.output !== 'prometheus') {
    await end();
    return code;
  }
  const { recordHosts } = await import('./record-hosts.ts');
  await recordHosts(
    ctx,
    line,
    hosts.map(({ name }) => name),
    recordings,
    end,
  );
  return code;
}

async function runOne(
  ctx: Context,
  host: Destination,
  words: readonly string[],
  line: HostLine,
  { timeout, progress, isAlone, shared }: PartOptions,
): Promise<HostResult> {
  const { name } = host;
  const nothing = {
    name,
    destination: host,
    views: [],
    recording: null,
    failure: null,
    isUnreached: true,
    code: 0,
  };
  if (ctx.interrupts.pending) return nothing;
  const known = shared.failures.get(name);
  if (known) return { ...nothing, failure: ofHost(known, host), isUnreached: false };
  const part = openHost(ctx, host, {
    timeout,
    isAlone,
    sharedWith: (uuid) => shared.othersWith(name, uuid),
    progress: (text) => progress.tell(name, text),
  });
  progress.tell(name, '');
  let failure: KvmsnapError | null = null;
  let code = 0;
  try {
    await line.again(words, async (settings, action) => {
      code = (await action(part.contextWith(settings))) || 0;
    });
    failure = part.explain(null) as KvmsnapError | null;
  } catch (error) {
    const explained = part.explain(error);
    if (!(explained instanceof KvmsnapError)) throw explained;
    failure = explained;
  } finally {
    part.close();
    progress.finish(name);
  }
  const isUnreached = failure !== null && failure === ctx.interrupts.pending;
  return {
    name,
    destination: host,
    views: part.views,
    recording: part.recording(),
    failure: failure && ofHost(failure, host),
    isUnreached,
    code,
  };
}

interface PartOptions {
  /** Seconds for each host. */
  readonly timeout: number | null;
  readonly progress: Progress;
  /** Whether it is the only host. */
  readonly isAlone: boolean;
  readonly shared: SharedVms;
}

/** The commands that prune, or can. */
const PRUNING: ReadonlySet<string> = new Set(['prune', 'create', 'create-as']);
