import { Option } from '../command-line/commander.ts';

/** The option of every command that deletes. */
export const leftoversOption = () =>
  new Option('--leftovers', 'also remove unused files that libvirt leaves behind');
