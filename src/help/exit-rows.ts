import { FAILURES, type FailureCode } from '../errors.ts';

/** Every exit code with its meaning and its name in JSON; 0 has no name. */
export function exitRows(): [exit: string, meaning: string, name: string][] {
  const names = Object.keys(FAILURES) as FailureCode[];
  return [
    ['0', 'done, or nothing to do', ''],
    ...names.map((name): [string, string, string] => [
      String(FAILURES[name].exitCode),
      FAILURES[name].meaning,
      name,
    ]),
  ];
}
