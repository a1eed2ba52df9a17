/** The text of a question before an action, for a terminal. */

export interface Question {
  /** What the user should know before answering, one fact each. */
  readonly details: readonly string[];
  /** The steps of the plan, if there are several. */
  readonly steps?: readonly Step[];
  /** The question itself. */
  readonly asks: string;
}

/** One step of a plan. */
export interface Step {
  readonly what: string;
  /** Facts about the step, each with a label. */
  readonly facts: readonly (readonly [label: string, says: string])[];
  /** The command lines of the step. */
  readonly commands: readonly string[];
}

/** How a plan differs from the one that was shown before: new consequences, and consequences that are gone. */
export interface Changes {
  readonly come: readonly string[];
  readonly gone: readonly string[];
}

/** The text of a question; the question itself is the last line. */
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
    ...commands.map((line) => `   ${line}`),
  ]);
  return [`Planned fixes (${steps.length}):`, ...lines].join('\n');
}

const indented = (line: string): string => `  ${line}`;

const MOST_LINES = 16;
const LAST_LINES = 3;

/** Shortens a long list to its beginning and its end. */
export function fold(lines: readonly string[]): string[] {
  if (lines.length <= MOST_LINES) return [...lines];
  const first = lines.slice(0, MOST_LINES - LAST_LINES - 1);
  const last = lines.slice(-LAST_LINES);
  return [...first, `... and ${lines.length - first.length - last.length} more ...`, ...last];
}
