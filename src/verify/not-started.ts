/** libvirt could not start the throw-away VM; the message is that of virsh. */
export class NotStarted extends Error {}

/** virsh's own words for an error. */
export const errorIn = (stderr: string): string =>
  stderr
    .split('\n')
    .map((line) => line.replace(/^error: /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('Failed to '))
    .join('; ');
