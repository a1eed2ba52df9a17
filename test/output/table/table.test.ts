import stringWidth from 'string-width';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createPaint } from '../../../src/output/color.ts';
import type { Canvas } from '../../../src/output/table/cell.ts';
import { renderTable } from '../../../src/output/table/table.ts';
import { type Column, LEAVES, type Section } from '../../../src/output/view.ts';
import { MiB, TAKEN_AT } from '../../model.ts';

interface Row {
  readonly name: string;
  readonly on?: boolean;
  readonly at?: number | null;
  readonly bytes?: number | null;
  readonly count?: number;
  readonly kind?: string | null;
  readonly note?: string | null;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'on', title: '', kind: 'mark', value: ({ on = false }) => on, tone: () => 'good' },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  { key: 'at', title: 'AT', kind: 'time', age: true, value: ({ at = TAKEN_AT }) => at },
  { key: 'bytes', title: 'SIZE', kind: 'bytes', leaves: 2, value: ({ bytes = null }) => bytes },
  { key: 'count', title: 'COUNT', kind: 'count', leaves: LEAVES.bar, value: ({ count = 0 }) => count },
  { key: 'kind', title: 'KIND', kind: 'text', ifAny: true, leaves: 3, value: ({ kind = null }) => kind },
  { key: 'note', title: 'NOTE', kind: 'text', wraps: true, value: ({ note = null }) => note },
];

const ROWS: readonly Row[] = [
  { name: '快照-1', on: true, bytes: 5 * MiB, count: 12, note: 'before the upgrade' },
  { name: 'b', at: null, note: 'a\nb' },
];

beforeEach(() => {
  vi.stubEnv('TZ', 'Asia/Shanghai');
  return () => vi.unstubAllEnvs();
});

const canvas = (changes: Partial<Canvas> = {}): Canvas => ({
  isTerminal: true,
  columns: 120,
  paint: createPaint(0),
  ascii: false,
  now: TAKEN_AT + 7200,
  ...changes,
});

const drawSection = (section: Partial<Section<Row>>, changes?: Partial<Canvas>) =>
  renderTable({ columns: COLUMNS, rows: ROWS, ...section }, canvas(changes));

const draw = async (rows: readonly Row[], changes?: Partial<Canvas>) =>
  (await drawSection({ rows }, changes)).text;

const widest = (text: string) => Math.max(...text.split('\n').map((line) => stringWidth(line)));

describe('on a terminal', () => {
  test('a head over a rule, local times with their age, sizes to the right', async () => {
    expect(await draw(ROWS)).toBe(
      `
   NAME    AT                            SIZE  COUNT  NOTE
─  ──────  ─────────────────────────  ───────  ─────  ──────────────────
*  快照-1  2026-11-23 17:06:40 (2 h)  5.0 MiB     12  before the upgrade
   b       -                                -      0  a\\nb
`.slice(1),
    );
  });

  test('colors do not move the columns', async () => {
    const colored = await draw(ROWS, { paint: createPaint(1) });
    expect(colored).toContain('\x1b[1mNAME\x1b[22m');
    expect(colored).toContain('\x1b[1m*\x1b[22m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what colors are made of
    const bare = colored.replace(/\x1b\[\d+m/g, '');
    expect(bare.split('\n').map((line) => line.trimEnd())).toEqual((await draw(ROWS)).split('\n'));
  });

  const LONG = { name: 'a', on: true, note: 'before the upgrade of 数据库服务器 and all that hangs on it' };

  test.each([60, 66, 80, 96])('%i columns: sentences wrap at words, and nothing is lost', async (columns) => {
    const { text, leftOut } = await drawSection({ rows: [LONG, { name: 'b', note: 'short' }] }, { columns });
    expect(widest(text)).toBeLessThanOrEqual(columns);
    const noted = text
      .split('\n')
      .slice(2)
      .map((line) => line.slice(line.indexOf('before') < 0 ? -columns : line.indexOf('before')).trim());
    const words = noted.join(' ').split(/\s+/);
    for (const word of LONG.note.split(' ')) expect(words).toContain(word);
    expect(text).not.toContain('…');
    expect(leftOut).toEqual(columns < 90 ? ['COUNT'] : []);
  });

  test('columns are left out by their number, one after the other', async () => {
    const rows = [{ name: 'n'.repeat(20), bytes: 5, kind: 'internal', note: 'a note' }];
    const leftOut = async (columns: number) => (await drawSection({ rows }, { columns })).leftOut;
    expect([await leftOut(85), await leftOut(79), await leftOut(70), await leftOut(66)]).toEqual([
      [],
      ['COUNT'],
      ['COUNT', 'SIZE'],
      ['COUNT', 'SIZE', 'KIND'],
    ]);
  });

  test('an empty column goes first, and nobody misses it', async () => {
    const rows = [{ name: 'n'.repeat(20), bytes: null, note: 'a note' }];
    const { text, leftOut } = await drawSection({ rows }, { columns: 69 });
    expect([text.includes('SIZE'), text.includes('COUNT'), leftOut]).toEqual([false, true, []]);
  });

  test('when all that may go has gone, times wrap, and names last; no number is broken', async () => {
    const rows = [{ name: 'n'.repeat(30), bytes: 5 * MiB, note: 'a note' }];
    const [wide, narrow] = [await draw(rows, { columns: 62 }), await draw(rows, { columns: 40 })];
    expect(wide).toMatch(/2026-11-23 17:06:40.*\n +\(2 h\)\n$/);
    expect([wide, narrow].map((text) => text.includes('n'.repeat(30)))).toEqual([true, false]);
    expect(narrow.match(/n/g)?.length).toBe(31); // and that of the note
    expect(widest(narrow)).toBeLessThanOrEqual(40);
  });

  test('words that are longer than their column are broken behind punctuation, and never within a character', async () => {
    const rows = [
      { name: 'a', note: `/var/lib/libvirt/images/web-1.qcow2 ${'数据库服务器备份'.repeat(4)}👩🏽‍💻` },
    ];
    const text = await draw(rows, { columns: 62 });
    expect(text).toMatch(/\/var\/lib\/libvirt\/images\/\n +web-1\.qcow2\n/);
    expect(text).not.toContain('\ufffd');
    expect(text.match(/[数据库服务器备份]/g)?.length).toBe(32);
    expect(widest(text)).toBeLessThanOrEqual(62);
  });

  const ofVms = COLUMNS.map((column) => (column.key === 'name' ? { ...column, share: 1 / 3 } : column));

  test('the name of a VM takes no more than its share; a longer one stands whole on a line of its own', async () => {
    const long = `${'vm-'.repeat(20)}end`;
    const { text } = await drawSection(
      { columns: ofVms, rows: ['web-1', long, 'b'].map((name) => ({ name, at: null, note: 'x' })) },
      { columns: 80 },
    );
    const [head, , first, second, third, fourth] = text.split('\n');
    expect(head).toMatch(/^ {3}NAME {3}/);
    expect([first, second, third, fourth].map((line) => line?.replace(/ +/g, ' ').trim())).toEqual([
      'web-1 - - 0 x',
      long,
      '- - 0 x',
      'b - - 0 x',
    ]);
  });

  test('a name gets a line of its own before a sentence that has to stay becomes a narrow strip', async () => {
    const rows = [{ name: 'vm-'.repeat(9), at: null, note: 'x '.repeat(40) }];
    const width = async (columns: number) =>
      (await drawSection({ columns: ofVms, rows }, { columns })).text.split('\n')[1]?.split('  ')[1]?.length;
    expect([await width(200), await width(82), await width(60)]).toEqual([27, 27, 4]);
  });

  test('the id of a rule gives way to its sentence', async () => {
    const rule = {
      key: 'rule',
      title: 'RULE',
      kind: 'text',
      leaves: LEAVES.rule,
      value: () => 'no-guest-agent',
    } as const;
    const leftOut = async (note: string, columns: number) =>
      (await drawSection({ columns: [rule, ...COLUMNS], rows: [{ name: 'web-1', note }] }, { columns }))
        .leftOut;
    expect(await leftOut('x '.repeat(40), 110)).toEqual(['RULE']);
    expect(await leftOut('x '.repeat(40), 120)).toEqual([]);
    expect(await leftOut('x', 80)).toEqual([]);
  });

  test('a path that does not fit stands whole on a line of its own', async () => {
    const path = `/var/lib/libvirt/images/${'x'.repeat(60)}.qcow2`;
    const columns = [
      ...COLUMNS,
      { key: 'path', title: 'FILE', kind: 'text', ownLine: true, value: () => path } as const,
    ];
    const narrow = await drawSection({ columns, rows: [{ name: 'a' }] }, { columns: 80 });
    expect([narrow.text.includes('FILE'), narrow.text.split('\n')[3]?.trim(), narrow.leftOut]).toEqual([
      false,
      path,
      [],
    ]);
    const wide = await drawSection({ columns, rows: [{ name: 'a' }] }, { columns: 200 });
    expect(wide.text).toMatch(/FILE\n/);
  });

  test('lines beneath a row: sentences wrap, commands do not', async () => {
    const command = `qemu-img convert ${'/images/web-1.qcow2 '.repeat(5)}`.trim();
    const beneath = ({ name }: Row) =>
      name === 'a' ? [{ text: `hint: ${'convert it '.repeat(9)}` }, { text: command, verbatim: true }] : [];
    const section = { rows: [{ name: 'a' }, { name: 'b' }], beneath };
    const { text } = await drawSection(section, { columns: 70 });
    const lines = text.split('\n');
    expect(lines.filter((line) => stringWidth(line) > 70).map((line) => line.trim())).toEqual([command]);
    expect(text).toMatch(/hint: convert it/);
    expect(lines.at(-2)).toMatch(/ b /);
    const pipe = await drawSection(section, { columns: 70, isTerminal: false });
    expect(pipe.text.split('\n')[3]).toBe(`    ${command}`);
  });

  test('without heads, and a column that shows only what differs from above', async () => {
    const columns: readonly Column<Row>[] = [
      { key: 'kind', title: 'K', kind: 'text', grouped: true, value: ({ kind = null }) => kind },
      { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
    ];
    const rows = ['a', 'b'].map((name) => ({ name, kind: 'x' }));
    expect((await drawSection({ columns, rows, heads: false })).text).toBe('x  a\n   b\n');
  });

  test('bars by eighths, in ASCII by tenths', async () => {
    const columns: readonly Column<Row>[] = [
      { key: 'bar', title: '', kind: 'bar', value: ({ count = 0 }) => count },
    ];
    const rows = [1, 0.5, 0.06, 0.001, 0].map((count) => ({ name: '', count }));
    const bars = async (ascii: boolean) =>
      (await drawSection({ columns, rows, heads: false }, { ascii })).text.split('\n').slice(0, 5);
    expect(await bars(false)).toEqual(['██████████', '█████', '▋', '▏', '']);
    expect(await bars(true)).toEqual(['##########', '#####', '#', '#', '']);
    expect((await drawSection({ columns, rows, heads: false }, { isTerminal: false })).text.trim()).toBe('');
  });

  test('ASCII only, but for what is in names', async () => {
    const columns = COLUMNS.map((column) =>
      column.key === 'name' ? { ...column, lead: () => '│  ├─ ' } : column,
    );
    const { text } = await drawSection({ columns, rows: [{ name: 'a─b' }] }, { ascii: true });
    expect(text.split('\n')[1]).toMatch(/^-+ {2}-+/);
    expect(text).toContain('|  |- a─b ');
  });
});

describe('in a pipe', () => {
  test('no rule, nothing cut, absolute times', async () => {
    expect(await draw(ROWS, { isTerminal: false, columns: 20 })).toBe(
      `
   NAME    AT                            SIZE  COUNT  NOTE
*  快照-1  2026-11-23T17:06:40+08:00  5.0 MiB     12  before the upgrade
   b       -                                -      0  a\\nb
`.slice(1),
    );
  });

  test('colors only where they were asked for', async () => {
    expect(await draw(ROWS, { isTerminal: false })).not.toContain('\x1b');
    expect(await draw(ROWS, { isTerminal: false, paint: createPaint(1) })).toContain('\x1b[1mNAME');
  });
});

describe.each([true, false])('terminal: %s', (isTerminal) => {
  test('what could redraw the terminal is escaped, and lines stay lines', async () => {
    const text = await draw([{ name: '\x1b[2J\u009b', note: '\u202ex\r' }], { isTerminal });
    expect(text).toContain('\\x1b[2J\\x9b');
    expect(text).toContain('\\u202ex\\x0d');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be gone
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  test('an empty text is a dash, as what is absent', async () => {
    expect(await draw([{ name: '', note: '' }], { isTerminal })).toMatch(/\n +- .* -\n$/);
  });

  test('a title stands above', async () => {
    const titled = await drawSection({ title: 'DISKS' }, { isTerminal });
    expect(titled.text).toBe(`DISKS\n${await draw(ROWS, { isTerminal })}`);
  });

  test('tones', async () => {
    const toned: readonly Column<Row>[] = [
      {
        key: 'name',
        title: 'NAME',
        kind: 'text',
        value: ({ name }) => name,
        tone: ({ on }) => (on ? 'good' : 'bad'),
      },
    ];
    const rows = [{ name: 'a', on: true }, { name: 'b' }];
    const { text } = await drawSection({ columns: toned, rows }, { isTerminal, paint: createPaint(2) });
    expect(text).toContain('\x1b[38;5;28ma\x1b[39m');
    expect(text).toContain('\x1b[38;5;161mb\x1b[39m');
  });

  test('a thousand lines are quick', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `snapshot-${i}` }));
    expect((await draw(rows, { isTerminal })).split('\n')).toHaveLength(1000 + (isTerminal ? 3 : 2));
  });
});
