import { Option } from '../command-line/commander.ts';

/** The option of every command that deletes. */
export const leftoversOption = () =>
  new Option(
    '--leftovers',
    'also remove what libvirt leaves behind of external snapshots: memory and overlays that nothing uses',
  );
