import { describe, expect, test } from 'vitest';
import { type ColorChoice, colorLevel } from '../../src/host/terminal.ts';

interface Case {
  readonly env?: NodeJS.ProcessEnv;
  /** The level for `always`, `auto` on a terminal, `auto` in a pipe, `never`. */
  readonly levels: readonly [always: number, terminal: number, pipe: number, never: number];
}

/** The option, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal. */
const CASES: readonly Case[] = [
  { env: {}, levels: [1, 1, 0, 0] },
  { env: { TERM: 'xterm-256color' }, levels: [1, 1, 0, 0] },
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
