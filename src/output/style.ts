/** How something is meant; `colour.ts` chooses the colours. */
export type Tone = 'plain' | 'strong' | 'faint' | 'good' | 'warn' | 'bad';

export type Paint = (tone: Tone, text: string) => string;

/** The painter for a screen of that colour level. Where there is no colour, chalk is not even loaded. */
export async function painterFor(level: 0 | 1 | 2 | 3): Promise<Paint> {
  return level === 0 ? (_, text) => text : (await import('./color.ts')).createPaint(level);
}
