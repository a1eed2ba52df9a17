/** The beginning of the name of each throw-away VM of `verify`; the rest is the id of its run: `PID-TICKS`. */
export const THROW_AWAY_PREFIX = 'kvmsnap-verify-';

/** The process of the run to which a throw-away VM of that name belongs; null for any other VM. */
export function ownerOf(name: string): { readonly id: number; readonly startTicks: string } | null {
  const [, id, startTicks] = /^kvmsnap-verify-(\d+)-(\d+)$/.exec(name) ?? [];
  return id === undefined || startTicks === undefined ? null : { id: Number(id), startTicks };
}

/** Whether a VM of that name is a throw-away VM, which no run over many VMs is to touch. */
export const isThrowAway = (name: string): boolean => ownerOf(name) !== null;
