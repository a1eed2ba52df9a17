import { Option } from '../command-line/commander.ts';

/** The option of every command that deletes. */
export const leftoversOption = () =>
  new Option('--leftovers', 'remove the files of deleted external snapshots too');
