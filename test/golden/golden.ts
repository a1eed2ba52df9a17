// Compares what commands show with the golden files beside this; `UPDATE_GOLDEN=1 npm run test:unit test/golden` writes them.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { describeError } from '../../src/output/error.ts';
import type { Context, Settings } from '../../src/run/context.ts';
import { type GoldenHost, goldenHost } from './host.ts';
import type { VmSpec } from './vms.ts';

export interface Golden {
  /** The command as it would be typed. */
  readonly line: string;
  /** What is special about the host. */
  readonly says?: string;
  readonly vms: readonly VmSpec[];
  readonly prepare?: (host: GoldenHost) => void;
  readonly run: (ctx: Context) => Promise<unknown>;
  readonly settings?: Partial<Settings>;
}

const WIDTHS = [60, 80, 120, 200] as const;

/** The golden file of one command, and a test for each of its widths and formats. */
export function golden(command: string, cases: readonly Golden[]): void {
  const path = fileURLToPath(new URL(`./${command}.txt`, import.meta.url));
  vi.stubEnv('TZ', 'Europe/Berlin');
  const read = (): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  describe(command, () => {
    test('is shown as the golden file says; UPDATE_GOLDEN=1 writes it anew', async () => {
      const parts: string[] = [];
      for (const each of cases) parts.push(await allOf(each));
      const text = parts.join('\n');
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
      expect(text).toBe(read());
    });
  });
}

async function allOf(each: Golden): Promise<string> {
  const head = `${'='.repeat(20)} $ ${each.line}${each.says === undefined ? '' : `   # ${each.says}`}\n`;
  const shown: string[] = [];
  let before = '';
  for (const columns of WIDTHS) {
    const text = await shownBy(each, { columns });
    expect.soft(tooWide(text, columns), `${each.line}, ${columns} columns`).toEqual([]);
    shown.push(`-- a terminal of ${columns} columns${text === before ? ': the same\n' : `\n${text}`}`);
    before = text;
  }
  shown.push(`-- in a pipe\n${await shownBy(each, { columns: null })}`);
  shown.push(`-- -o csv\n${await shownBy(each, { columns: null, output: 'csv' })}`);
  return head + shown.join('');
}

/** Lines that are wider than the terminal, but for commands and paths, which are to be copied, and what comes from stderr. */
const tooWide = (text: string, columns: number): string[] =>
  text
    .split('\n')
    .filter(
      (line) =>
        line.length > columns &&
        !/^\s*(\d+\. |disk .* |memory saved in )?(virsh|qemu-img|kvmsnap|guestfish|guestmount|nbdcopy|\/)/.test(
          line,
        ),
    )
    .filter((line) => !/^(note|error|hint|warning|skipped): |^ {6,}|now writes to|saved in/.test(line));

async function shownBy(
  { vms, prepare, run, settings }: Golden,
  { columns, output = 'table' }: { readonly columns: number | null; readonly output?: Settings['output'] },
): Promise<string> {
  const host = goldenHost(vms);
  prepare?.(host);
  const ctx = host.context({ columns, settings: { ...settings, output } });
  try {
    await run(ctx);
    return host.screen();
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    return host.screen() + describeError(error, { json: false, level: 0, columns });
  }
}
