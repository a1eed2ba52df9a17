import { FAILURES, type FailureCode } from '../errors.ts';

/** Every exit code with its meaning and its name in JSON; 0 has no name. */
export function exitRows(): [exit: string, meaning: string, name: string][] {
  const names = Object.keys(FAILURES) as FailureCode[];
  const rows: [exit: string, meaning: string, name: string][] = [
    ['0', 'done, or nothing to do', ''],
    ...names.map((name): [string, string, string] => [
      String(FAILURES[name].exitCode),
      FAILURES[name].meaning,
      name,
    ]),
    ['125', 'only try: kvmsnap itself failed; otherwise try exits with the exit code of its command', ''],
  ];
  return rows.sort(([a], [b]) => Number(a) - Number(b));
}
