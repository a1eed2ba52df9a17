import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createPaint } from '../../src/output/color.ts';
import { render as renderView } from '../../src/output/render.ts';
import type { Column, Content } from '../../src/output/view.ts';
import { section } from '../../src/output/view.ts';
import { TAKEN_AT } from '../model.ts';

const PIPE = { isTerminal: false, columns: 80, paint: createPaint(0), ascii: false, now: TAKEN_AT };

const render = async (...args: Parameters<typeof renderView>) => (await renderView(...args)).text;

const TEXT: readonly Column<string>[] = [{ key: 'name', title: 'NAME', kind: 'text', value: (name) => name }];

const view = (changes: Partial<Content> = {}): Content => ({
  document: { domain: 'a', absent: null, none: [] },
  sections: [section({ columns: TEXT, rows: ['a', 'b'] }), section({ columns: TEXT, rows: ['c'] })],
  names: ['a', 'b'],
  ...changes,
});

beforeEach(() => {
  vi.stubEnv('TZ', 'UTC');
  return () => vi.unstubAllEnvs();
});

describe('JSON', () => {
  test('begins with the version of the schema', async () => {
    expect(await render(view(), 'json', PIPE)).toBe(
      '{\n  "schemaVersion": 1,\n  "domain": "a",\n  "absent": null,\n  "none": []\n}\n',
    );
  });
});

describe('names', () => {
  test('one a line, nothing for none', async () => {
    expect(await render(view(), 'name', PIPE)).toBe('a\nb\n');
    expect(await render(view({ names: [] }), 'name', PIPE)).toBe('');
  });

  test('as they are for a script, escaped on a terminal', async () => {
    const names = ['\u009b31m', '快照'];
    expect(await render(view({ names }), 'name', PIPE)).toBe('\u009b31m\n快照\n');
    expect(await render(view({ names }), 'name', { ...PIPE, isTerminal: true })).toBe('\\x9b31m\n快照\n');
  });
});

describe('tables', () => {
  test('all sections, a blank line between', async () => {
    expect(await render(view(), 'table', PIPE)).toBe('NAME\na\nb\n\nNAME\nc\n');
  });

  test('no section without rows, and nothing at all without any', async () => {
    const empty = section({ columns: TEXT, rows: [] });
    const filled = section({ columns: TEXT, rows: ['a'] });
    expect(await render(view({ sections: [empty, filled] }), 'table', PIPE)).toBe('NAME\na\n');
    expect(await render(view({ sections: [empty] }), 'table', PIPE)).toBe('');
  });

  test('tell which columns had no room', async () => {
    const columns: readonly Column<string>[] = [
      ...TEXT,
      { key: 'kind', title: 'KIND', kind: 'text', leaves: 1, value: () => 'x'.repeat(50) },
    ];
    const sections = [section({ columns, rows: ['a'.repeat(50)] })];
    const onTerminal = { ...PIPE, isTerminal: true };
    expect(await renderView(view({ sections }), 'table', onTerminal)).toMatchObject({ leftOut: ['KIND'] });
    expect(await renderView(view({ sections }), 'table', PIPE)).toMatchObject({ leftOut: [] });
  });
});

/** RFC 4180, read back: quoted fields may hold commas, quotes and line feeds. */
function readCsv(text: string): string[][] {
  const records: string[][] = [[]];
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))([,\n])/g)) {
    records.at(-1)?.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'));
    if (end === '\n') records.push([]);
  }
  return records.slice(0, -1);
}

describe('CSV', () => {
  interface Row {
    readonly text: string | null;
    readonly number: number | null;
    readonly on: boolean;
  }
  const COLUMNS: readonly Column<Row>[] = [
    { key: 'current', title: '', kind: 'mark', value: ({ on }) => on },
    { key: 'description', title: 'DESCRIPTION', kind: 'text', value: ({ text }) => text, wraps: true },
    { key: 'createdAt', title: 'CREATED', kind: 'time', value: ({ number }) => number },
    { key: 'vmStateBytes', title: 'VM STATE', kind: 'bytes', value: ({ number }) => number },
  ];
  const csv = (rows: readonly Row[]) =>
    render(view({ sections: [section({ columns: COLUMNS, rows })] }), 'csv', {
      ...PIPE,
      isTerminal: true,
      columns: 10,
    });

  test.each([
    [{ text: 'plain', number: 0, on: true }, 'true,plain,1970-01-01T00:00:00+00:00,0\n'],
    [{ text: 'a,b', number: 1, on: false }, 'false,"a,b",1970-01-01T00:00:01+00:00,1\n'],
    [{ text: 'say "hi"', number: null, on: false }, 'false,"say ""hi""",,\n'],
    [{ text: 'two\nlines', number: null, on: false }, 'false,"two\nlines",,\n'],
    [{ text: 'cr\r', number: null, on: false }, 'false,"cr\r",,\n'],
    [{ text: null, number: null, on: false }, 'false,,,\n'],
    [{ text: '\x1b 快照 '.repeat(9), number: null, on: false }, `false,${'\x1b 快照 '.repeat(9)},,\n`],
  ])('%j', async (row, line) => {
    expect(await csv([row])).toBe(`current,description,createdAt,vmStateBytes\n${line}`);
  });

  test('has a head without rows, and only the first section', async () => {
    expect(await csv([])).toBe('current,description,createdAt,vmStateBytes\n');
    expect(await render(view(), 'csv', PIPE)).toBe('name\na\nb\n');
    expect(await render(view({ sections: [] }), 'csv', PIPE)).toBe('');
  });

  test('has its own columns where there are some, and no bars', async () => {
    const bar: Column<string> = { key: 'bar', title: '', kind: 'bar', value: () => 0.5 };
    const csv = section({ columns: [...TEXT, bar, ...TEXT], rows: ['x'] });
    expect(await render(view({ csv }), 'csv', PIPE)).toBe('name,name\nx,x\n');
  });

  test('is read back as it was, whatever the text', async () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom('"', ',', '\n', '\r', ' '), fc.constantFrom('a', '快')),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(text), async (texts) => {
        const [, ...records] = readCsv(
          await csv(texts.map((one) => ({ text: one, number: null, on: false }))),
        );
        expect(records.map(([, description]) => description)).toEqual(texts);
      }),
    );
  });
});
