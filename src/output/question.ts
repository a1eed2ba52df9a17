/** A question before something is done, as text for a terminal. */

export interface Question {
  /** What there is to know about it, one thing each. */
  readonly details: readonly string[];
  /** What would be done, where it is more than one thing. */
  readonly steps?: readonly Step[];
  /** The question itself. */
  readonly asks: string;
}

/** One step of a plan. */
export interface Step {
  readonly what: string;
  /** What is said of it, by its label. */
  readonly facts: readonly (readonly [label: string, says: string])[];
  /** The command lines that it takes. */
  readonly commands: readonly string[];
}

/** How a plan differs from what was told of it before: consequences that have come, and that are gone. */
export interface Changes {
  readonly come: readonly string[];
  readonly gone: readonly string[];
}

/** The lines of a question, itself the last. */
export function questionText({ details, steps = [], asks }: Question, { come, gone }: Changes): string {
  const changes = [...come.map((line) => `now: ${line}`), ...gone.map((line) => `no longer: ${line}`)];
  return [
    ...(changes.length === 0 ? [] : ['This has changed meanwhile:', ...changes.map(indented)]),
    ...details.map(indented),
    ...(steps.length === 0 ? [] : [planText(steps)]),
    asks,
  ].join('\n');
}

/** The steps of a plan, numbered. */
export function planText(steps: readonly Step[]): string {
  const lines = steps.flatMap(({ what, facts, commands }, i) => [
    `${i + 1}. ${what}`,
    ...facts.map(([label, says]) => `   ${label}: ${says}`),
    ...commands.map((line) => `   $ ${line}`),
  ]);
  return [`${steps.length} ${steps.length === 1 ? 'step' : 'steps'} to fix it:`, ...lines].join('\n');
}

const indented = (line: string): string => `  ${line}`;

const MOST_LINES = 16;
const LAST_LINES = 3;

/** A long list is its beginning and its end. */
export function fold(lines: readonly string[]): string[] {
  if (lines.length <= MOST_LINES) return [...lines];
  const first = lines.slice(0, MOST_LINES - LAST_LINES - 1);
  const last = lines.slice(-LAST_LINES);
  return [...first, `... and ${lines.length - first.length - last.length} more ...`, ...last];
}
