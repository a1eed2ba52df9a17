import { KvmsnapError } from '../errors.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { listDomains } from '../libvirt/domains.ts';
import type { Context, Settings } from '../run/context.ts';
import { openHost } from './host-context.ts';

/** VMs that several hosts of a run define: on shared storage, after a migration, or because a definition was forgotten. */

export interface SharedVms {
  /** The other hosts that define a VM with this UUID. */
  readonly othersWith: (host: string, uuid: string) => readonly string[];
  /** The hosts that could not be asked, by name: what is done there would fail in the same way. */
  readonly failures: ReadonlyMap<string, KvmsnapError>;
}

export const NOTHING_SHARED: SharedVms = { othersWith: () => [], failures: new Map() };

/** Asks each host which VMs it has; `limited` runs some at a time. */
export async function findSharedVms(
  ctx: Context,
  hosts: readonly Destination[],
  settings: Settings,
  limited: <T>(task: () => Promise<T>) => Promise<T>,
): Promise<SharedVms> {
  const failures = new Map<string, KvmsnapError>();
  const hostsOf = new Map<string, string[]>();
  const ask = async (host: Destination) => {
    if (ctx.interrupts.pending) return;
    const part = openHost(ctx, host, {
      timeout: settings.timeout,
      isAlone: false,
      sharedWith: () => [],
      progress: () => undefined,
    });
    try {
      for (const { uuid } of await listDomains(part.contextWith(settings).virsh))
        hostsOf.set(uuid, [...(hostsOf.get(uuid) ?? []), host.name]);
    } catch (error) {
      const explained = part.explain(error);
      if (!(explained instanceof KvmsnapError)) throw explained;
      failures.set(host.name, explained);
    } finally {
      part.close();
    }
  };
  await Promise.all(hosts.map((host) => limited(() => ask(host))));
  return {
    othersWith: (host, uuid) => (hostsOf.get(uuid) ?? []).filter((name) => name !== host),
    failures,
  };
}
