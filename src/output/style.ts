/** How something is meant; `color.ts` chooses the colors. */
export type Tone = 'plain' | 'strong' | 'faint' | 'good' | 'warn' | 'bad';

export type Paint = (tone: Tone, text: string) => string;

/** The painter for a screen of that color level. Where there is no color, chalk is not even loaded. */
export async function painterFor(level: 0 | 1 | 2 | 3): Promise<Paint> {
  return level === 0 ? (_, text) => text : (await import('./color.ts')).createPaint(level);
}
