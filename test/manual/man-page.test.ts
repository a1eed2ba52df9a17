import { expect, test } from 'vitest';
import { manPage } from '../../src/manual/man-page.ts';

const page = manPage({
  version: '1.2.3',
  globals: [{ flags: '--json', help: 'a document' }],
  commands: [
    {
      name: 'hold',
      alias: 'keep',
      summary: 'protect it',
      detail: 'Protect it. A \\ stays, and so does what follows.',
      arguments: [{ syntax: '<name>', help: '.hidden is a name' }],
      options: [{ flags: '--web-*', help: "'quoted' at the start" }],
      examples: ["kvmsnap hold 'web-*'"],
    },
  ],
});

test('says what a command is for, and what there is beside the commands', () => {
  expect(page).toContain(
    '.SS kvmsnap hold|keep <name>\nProtect it. A \\e stays, and so does what follows.\n',
  );
  expect([...page.matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title)).toEqual([
    'NAME',
    'SYNOPSIS',
    'DESCRIPTION',
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
