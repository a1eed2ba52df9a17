import { combineFailures, KvmsnapError } from '../../errors.ts';
import type { DomainReading } from '../../libvirt/domains.ts';

import { counted } from '../../output/format.ts';
import type { Context } from '../../run/context.ts';
import { operate } from '../../run/operation.ts';
import { refuseHosts } from '../../vm/group.ts';
import type { Targets } from '../../vm/select.ts';
import { checkName } from '../naming.ts';
import type { CreateRequest } from '../request.ts';
import type { TakenTogether } from './member.ts';
import { chooseOneName } from './one-name.ts';
import { type PlannedTogether, takingTogether } from './operation.ts';

/** `create --together`: snapshots of several VMs at one moment, of all of them or of none. */

/** How often another automatic name is tried because another run was faster with the last one. */
const RETRIES = 5;

/**
 * Takes the snapshots of all selected VMs, by UUID; or plans it. Throws a failure that says what became of all of them: its code is
 * `partial` unless it concerns all VMs.
 */
export async function takeTogether(
  ctx: Context,
  { targets }: Targets,
  request: CreateRequest,
): Promise<{ readonly done: ReadonlyMap<string, TakenTogether> } | PlannedTogether> {
  refuseHosts(ctx, '--together');
  const missing = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [reading] : []));
  if (missing.length > 0) throw nothingTaken(missing, targets.length);
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  for (let left = RETRIES; ; left--) {
    try {
      return await takeOnce(ctx, readings, request);
    } catch (error) {
      const isTaken = error instanceof KvmsnapError && error.code === 'exists';
      if (!isTaken || typeof request.name === 'string' || left === 0) throw error;
    }
  }
}

async function takeOnce(ctx: Context, readings: readonly DomainReading[], request: CreateRequest) {
  const name = await chooseOneName(ctx, readings, request.name);
  checkName(name);
  const operation = takingTogether(readings, { ...request, name }, (failures) =>
    nothingTaken(failures, readings.length),
  );
  const ended = await operate(ctx, operation);
  return 'planned' in ended ? ended.planned : { done: ended.done };
}

/** The failure for checks of some VMs, each as a finding. */
function nothingTaken(failures: readonly KvmsnapError[], of: number): KvmsnapError {
  const [first] = failures;
  if (first && of === 1) return first;
  const summary = `no snapshot was taken, because ${failures.length === of ? `none of the ${of} VMs can` : `${failures.length} of ${counted(of, 'VM')} cannot`} have one`;
  const { code } = combineFailures(failures, of - failures.length, summary);
  if (first?.meant && failures.length === 1) return first.prefixed(`${summary}: `, code);
  const findings = failures.flatMap((failure) =>
    failure.findings.map((finding) => ({
      ...finding,
      message: failure.subject === null ? finding.message : `${failure.subject}: ${finding.message}`,
    })),
  );
  return KvmsnapError.of(code, summary, findings);
}
