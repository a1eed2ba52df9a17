import { expect, test } from 'vitest';
import { bareProgram } from '../../src/command-line/global-options.ts';
import { Verb } from '../../src/command-line/verb.ts';
import { manPage } from '../../src/help/man-page.ts';

const hold = new Verb('hold', {
  group: 'More',
  summary: 'protect it',
  detail: 'A \\ stays, and so does what follows.',
  examples: ["kvmsnap hold 'web-*'"],
  topics: [],
  needsWriting: true,
}).alias('keep');
hold.argument('<name>', '.hidden is a name').option('--web-*', "'quoted' at the start");
const page = manPage(bareProgram('kvmsnap', '1.2.3').addCommand(hold));

test('says what a command is for, and what there is beside the commands', () => {
  expect(page).toContain(
    '.SS kvmsnap hold|keep <name>\nProtect it. A \\e stays, and so does what follows.\n',
  );
  expect([...page.matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title)).toEqual([
    'NAME',
    'SYNOPSIS',
    'DESCRIPTION',
    'EXAMPLES',
    'COMMANDS',
    'OPTIONS',
    'EXIT STATUS',
    'ENVIRONMENT',
    'FILES',
    'SEE ALSO',
  ]);
});

test('no word of a text is taken for a request, nor a hyphen for a dash', () => {
  const requests = new Set([...page.matchAll(/^[.'](\S*)/gm)].map(([, request]) => request));
  expect(requests).toEqual(new Set(['TH', 'SH', 'SS', 'TP', 'PP', 'B', 'BR', 'EX', 'EE']));
  expect(page).toContain('\n\\&.hidden is a name\n');
  expect(page).toContain("\n\\&'quoted' at the start\n");
  expect(page).toContain("\nkvmsnap hold 'web\\-*'\n");
});
