import { describe, expect, test } from 'vitest';
import { type ColorChoice, colorLevel, isAsciiOnly } from '../../src/host/terminal.ts';

interface Case {
  readonly env?: NodeJS.ProcessEnv;
  /** The level for `always`, `auto` on a terminal, `auto` in a pipe, `never`. */
  readonly levels: readonly [always: number, terminal: number, pipe: number, never: number];
}

/** The option, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal. */
const CASES: readonly Case[] = [
  { env: {}, levels: [1, 1, 0, 0] },
  { env: { TERM: 'xterm-256color' }, levels: [2, 2, 0, 0] },
  { env: { TERM: 'xterm', COLORTERM: 'truecolor' }, levels: [2, 2, 0, 0] },
  { env: { TERM: 'linux' }, levels: [1, 1, 0, 0] },
  { env: { TERM: 'dumb' }, levels: [1, 0, 0, 0] },
  { env: { NO_COLOR: '1' }, levels: [1, 0, 0, 0] },
  { env: { NO_COLOR: '' }, levels: [1, 1, 0, 0] },
  { env: { FORCE_COLOR: '1' }, levels: [1, 1, 1, 0] },
  { env: { FORCE_COLOR: '' }, levels: [1, 1, 1, 0] },
  { env: { FORCE_COLOR: 'true' }, levels: [1, 1, 1, 0] },
  { env: { FORCE_COLOR: '0' }, levels: [1, 0, 0, 0] },
  { env: { FORCE_COLOR: 'false' }, levels: [1, 0, 0, 0] },
  { env: { FORCE_COLOR: '1', TERM: 'dumb' }, levels: [1, 1, 1, 0] },
  { env: { NO_COLOR: '1', FORCE_COLOR: '1' }, levels: [1, 0, 0, 0] },
];

const SCREENS: readonly [choice: ColorChoice, isTerminal: boolean][] = [
  ['always', false],
  ['auto', true],
  ['auto', false],
  ['never', true],
];

describe('color for always, auto on a terminal, auto in a pipe, never', () => {
  test.each(CASES)('$env: $levels', ({ env = {}, levels }) => {
    expect(SCREENS.map(([choice, isTerminal]) => colorLevel(choice, isTerminal, env))).toEqual(levels);
  });
});

describe('what is drawn is ASCII only', () => {
  test.each([
    [{ LANG: 'de_DE.UTF-8' }, false],
    [{ LANG: 'C.utf8', TERM: 'xterm' }, false],
    [{ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }, true],
    [{ LANG: 'de_DE.UTF-8', LC_ALL: '' }, false],
    [{ LANG: 'C', LC_ALL: 'C.UTF-8' }, false],
    [{ LANG: 'en_US.UTF-8', LC_CTYPE: 'POSIX' }, true],
    [{ LANG: 'de_DE.ISO-8859-1' }, true],
    [{}, true],
    [{ LANG: 'de_DE.UTF-8', TERM: 'dumb' }, true],
    [{ LANG: 'de_DE.UTF-8', NO_COLOR: '1' }, true],
    [{ LANG: 'de_DE.UTF-8', NO_COLOR: '' }, false],
  ])('%j: %s', (env, ascii) => {
    expect(isAsciiOnly(env)).toBe(ascii);
  });
});
