import { Chalk, type ChalkInstance } from 'chalk';
import type { Paint, Tone } from './style.ts';

/**
 * A painter for a screen with that color level (0: none). The colors of level 2 have a contrast of at least 4 with
 * white and with black (WCAG 2). Of the sixteen colors of level 1 only red and magenta can be read on both; where a
 * terminal has no more, the rest is bold.
 */
export function createPaint(level: 0 | 1 | 2 | 3): Paint {
  const chalk = new Chalk({ level });
  const isRich = level >= 2;
  const tones: Record<Tone, ChalkInstance> = {
    plain: chalk.reset,
    strong: chalk.bold,
    faint: chalk.dim,
    good: isRich ? chalk.ansi256(28) : chalk.bold,
    warn: isRich ? chalk.ansi256(130) : chalk.magenta,
    bad: isRich ? chalk.ansi256(161) : chalk.red,
  };
  return (tone, text) => (tone === 'plain' || text === '' ? text : tones[tone](text));
}
