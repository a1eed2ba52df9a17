import { FAILURES, type FailureCode } from '../errors.ts';

/** Every exit code with its meaning, and the name that JSON calls it by; 0 has none. */
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
