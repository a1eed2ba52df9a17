/** No throw-away VM could be started; the message says why. */
export class NotStarted extends Error {}

/** That libvirt has refused it; `said`: the words of virsh. */
export const refusedByLibvirt = (said: string): NotStarted =>
  new NotStarted(`libvirt could not start a VM from it: ${said}`);

/** virsh's own words for an error. */
export const errorIn = (stderr: string): string =>
  stderr
    .split('\n')
    .map((line) => line.replace(/^error: /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('Failed to '))
    .join('; ');
