import { counted, humanSpan } from '../output/format.ts';
import type { Context } from './context.ts';

const TICK_MILLISECONDS = 250;

/** The progress line over several VMs or hosts: how many are finished, the elapsed time, and what happens to one that is under way. */
export interface Progress {
  /** What happens to this one now; an empty text: it is under way. */
  tell(name: string, text: string): void;
  finish(name: string): void;
  /** Removes the line. */
  stop(): void;
}

/** Draws it on a terminal until it is stopped. */
export function startProgress(
  { clock, terminal }: Pick<Context, 'clock' | 'terminal'>,
  total: number,
  what: 'VM' | 'host',
): Progress {
  const started = clock.now();
  const underWay = new Map<string, string>();
  let done = 0;
  const draw = () => {
    const [first] = underWay;
    if (!first) return;
    const [name, text] = first;
    const elapsed = humanSpan(Math.round((clock.now() - started) / 1000));
    terminal.progress(
      `${done}/${counted(total, what)}, ${elapsed}; ${name}${text === '' ? '' : `: ${text}`}`,
    );
  };
  const timer = terminal.err.isTerminal ? setInterval(draw, TICK_MILLISECONDS) : undefined;
  return {
    tell(name, text) {
      underWay.set(name, text);
      draw();
    },
    finish(name) {
      underWay.delete(name);
      done++;
      draw();
    },
    stop() {
      clearInterval(timer);
      terminal.progress('');
    },
  };
}
