import { MissingBytes, type OpenFile } from '../files.ts';
import { shellWord } from './quoting.ts';
import { type RunScript, statScript } from './remote-script.ts';
import { failure, parseStat } from './remote-stat.ts';

/**
 * A file on another host, open for reading. Its bytes are fetched in pages. Reading is synchronous, so bytes that are not here yet
 * throw `MissingBytes`; the reader fetches them and begins again.
 */

const PAGE_BYTES = 64 * 1024;

/** The most bytes of one file that are kept; a reader that needs more is refused. */
const MOST_BYTES = 512 * 1024 * 1024;

/** Pages that are fetched at once, at first and at most: the next ones are needed often. */
const FIRST_PAGES = 1;
const MOST_PAGES = 64;

/** Opens a regular file or a block device; null for anything else. The first page comes with the status. */
export async function openRemote(run: RunScript, path: string): Promise<OpenFile | null> {
  const word = shellWord(path);
  // the first line is the status; a pipe is not opened
  const answer = await run(
    [
      `if ${statScript(path)}; then if [ -f ${word} ]; then ${dd(word, 0, FIRST_PAGES)}`,
      `elif [ -b ${word} ]; then blockdev --getsize64 ${word} 2>/dev/null || echo 0; ${dd(word, 0, FIRST_PAGES)}`,
      'fi; else false; fi',
    ].join('\n'),
  );
  const end = answer.indexOf('\n');
  const status = parseStat(answer.toString('latin1', 0, Math.max(end, 0)));
  const { kind, device, occupiedBytes } = status;
  if (kind !== 'file' && kind !== 'block-device') return null;
  let first = answer.subarray(end + 1);
  let size = status.sizeBytes;
  if (device !== null) {
    const line = first.indexOf('\n');
    size = Number(first.toString('latin1', 0, line)) || (await deviceBytes(run, device));
    first = first.subarray(line + 1);
  }
  const pages = new Map<number, Buffer>(first.length > 0 ? [[0, first.subarray(0, PAGE_BYTES)]] : []);
  let kept = first.length;
  let ahead = FIRST_PAGES;
  let next = FIRST_PAGES;
  let expected: readonly number[] = [];

  const fetch = async (page: number, needed: number): Promise<void> => {
    // twice as much each time, if it goes on where it has stopped
    ahead = page === next ? Math.min(2 * ahead, MOST_PAGES) : FIRST_PAGES;
    const count = Math.max(needed, ahead);
    next = page + count;
    const at = expected.indexOf(page);
    const others = at < 0 ? [] : expected.slice(at + 1, at + MOST_PAGES).filter((each) => !pages.has(each));
    const runs = runsOf([...Array.from({ length: count }, (_, i) => page + i), ...others]);
    const answers = await Promise.all(
      runs.map(([from, count]) => run(dd(word, from, count), count * PAGE_BYTES)),
    );
    for (const [k, [from, count]] of runs.entries()) {
      const bytes = answers[k] ?? Buffer.alloc(0);
      kept += bytes.length;
      for (let i = 0; i < count; i++)
        pages.set(from + i, bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES));
    }
    if (kept > MOST_BYTES)
      throw failure('EFBIG', `more than ${MOST_BYTES / 2 ** 20} MiB of ${path} are needed`);
  };

  return {
    kind,
    size,
    occupiedBytes,
    read(offset, into) {
      const end = Math.min(offset + into.length, size);
      const [first, last] = [Math.floor(offset / PAGE_BYTES), Math.floor((end - 1) / PAGE_BYTES)];
      for (let page = first; page <= last; page++)
        if (!pages.has(page)) throw new MissingBytes(() => fetch(page, last - page + 1));
      return copyPages(pages, offset, into.subarray(0, Math.max(0, end - offset)));
    },
    expect(offsets, bytes) {
      expected = offsets.flatMap((offset) => {
        const [first, last] = [
          Math.floor(offset / PAGE_BYTES),
          Math.floor((offset + bytes - 1) / PAGE_BYTES),
        ];
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      });
    },
    close: async () => pages.clear(),
  };
}

/** Copies from pages that are there; fewer bytes if the file has become shorter. */
function copyPages(pages: ReadonlyMap<number, Buffer>, offset: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const at = offset + done;
    const part = pages
      .get(Math.floor(at / PAGE_BYTES))
      ?.subarray(at % PAGE_BYTES)
      .subarray(0, into.length - done);
    if (!part || part.length === 0) break;
    into.set(part, done);
    done += part.length;
  }
  return done;
}

/** Consecutive pages, as `[first, count]`; each page once. */
function runsOf(pages: readonly number[]): (readonly [number, number])[] {
  const sorted = [...new Set(pages)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const page of sorted) {
    const run = runs.at(-1);
    if (run && run[0] + run[1] === page) run[1]++;
    else runs.push([page, 1]);
  }
  return runs;
}

const dd = (word: string, page: number, pages: number): string =>
  `dd if=${word} bs=${PAGE_BYTES} skip=${page} count=${pages}`;

/** The size of a block device, by its number (sysfs-block). */
async function deviceBytes(run: RunScript, device: string): Promise<number> {
  return Number((await run(`cat /sys/dev/block/${device}/size`)).toString('latin1')) * 512;
}
