import { Chalk, type ChalkInstance } from 'chalk';
import type { Paint, Tone } from './style.ts';

/** A painter for a screen of that color level (0: none). */
export function createPaint(level: 0 | 1 | 2 | 3): Paint {
  const chalk = new Chalk({ level });
  const tones: Record<Tone, ChalkInstance> = {
    plain: chalk.reset,
    strong: chalk.bold,
    faint: chalk.dim,
    good: chalk.green,
    warn: chalk.yellow,
    bad: chalk.red,
  };
  return (tone, text) => (tone === 'plain' || text === '' ? text : tones[tone](text));
}
