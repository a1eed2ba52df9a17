/** The beginning of the name of each throw-away VM of `verify`; the rest is the id of its run: `PID-TICKS`. */
export const THROW_AWAY_PREFIX = 'kvmsnap-verify-';

/** Whether a VM of that name is a throw-away VM, which no run over many VMs is to touch. */
export const isThrowAway = (name: string): boolean =>
  name.startsWith(THROW_AWAY_PREFIX) && /^\d+-\d+$/.test(name.slice(THROW_AWAY_PREFIX.length));
