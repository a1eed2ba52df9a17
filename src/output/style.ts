/** The meaning of a text; `color.ts` chooses the color. */
export type Tone = 'plain' | 'strong' | 'faint' | 'good' | 'warn' | 'bad';

export type Paint = (tone: Tone, text: string) => string;

/** The painter for a screen with that color level. Without colors, chalk is not loaded. */
export async function painterFor(level: 0 | 1 | 2 | 3): Promise<Paint> {
  return level === 0 ? (_, text) => text : (await import('./color.ts')).createPaint(level);
}
