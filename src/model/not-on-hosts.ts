import { KvmsnapError } from '../errors.ts';

/** The refusal of an option that needs a kvmsnap on the host itself. */
export const notOnHosts = (option: string): KvmsnapError =>
  new KvmsnapError('usage', `${option} does not work on other hosts`, {
    hint: 'run kvmsnap on the host itself',
  });
