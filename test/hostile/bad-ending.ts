// How every run must end, whatever it was given.
import { FAILURES } from '../../src/errors.ts';
import { type CliResult, kvmsnap } from '../lab/cli.ts';

/** Exit codes that a run may have: the table's, but for the one of a bug. */
const CODES: readonly number[] = Object.values(FAILURES).map(({ exitCode }) => exitCode);

/** What is wrong with how a run ended, without regard to what it was to do; empty when nothing is. */
export function badEnding({ code, stdout, stderr }: CliResult): string[] {
  const wrong: string[] = [];
  if (code !== 0 && !(code !== null && CODES.includes(code) && code !== FAILURES.bug.exitCode))
    wrong.push(`exit ${code}`);
  if (code !== 0 && !/^(error: .|\{"error":)/m.test(stderr)) wrong.push('no error');
  if (/^\s+at .*\.[cm]?[jt]s:\d+/m.test(stdout + stderr)) wrong.push('a stack trace');
  if (/\bundefined\b|\bNaN\b|\[object /.test(stdout + stderr)) wrong.push('a value that is none');
  return wrong.map((what) => `${what}: ${(stderr || stdout).slice(0, 600)}`);
}

/** Runs kvmsnap with as little memory as a small host has, and not for long. */
export function runSmall(...args: readonly string[]): Promise<CliResult> {
  return kvmsnap(args, { env: { NODE_OPTIONS: '--max-old-space-size=192' }, timeoutMs: 60_000 });
}

/** How often to try what takes long: a few times, or $KVMSNAP_RUNS. */
export const runsOr = (few: number): number => Number(process.env['KVMSNAP_RUNS'] ?? few);
