import { type Domain, formatOf, isActive, takesPart } from '../../model/domain.ts';
import type { Mode } from '../../model/input/snapshot-spec.ts';
import type { Rule } from '../../model/rule.ts';
import { CHECKPOINT_CREATE_RULES } from './checkpoint.ts';
import { EXTERNAL_CONTENT_RULES } from './external-contents.ts';
import { TARGET_FILE_RULES } from './external-target-files.ts';
import { EXTERNAL_VM_RULES } from './external-vm.ts';
import { WAY_BACK_RULES } from './external-way-back.ts';
import type { CreateFacts } from './facts.ts';
import { IMAGE_FORMAT_RULES } from './image-format.ts';
import { INTERNAL_DISK_RULES, readOnlyForeign } from './internal-disks.ts';
import { INTERNAL_NAME_RULES } from './internal-names.ts';
import { PARTIAL_CREATE_RULES } from './partial.ts';
import { SHAREABLE_RULES } from './shareable.ts';
import { SHARING_RULES } from './sharing.ts';
import { UNMANAGED_CREATE_RULES } from './unmanaged.ts';
import { UNSAVED_STATE_RULES } from './unsaved-state.ts';
import { VM_RULES } from './vm.ts';
import { WRITE_CREATE_RULES } from './write.ts';

/**
 * All rules that decide, before anything is changed, whether a snapshot can be taken. The findings are printed in their
 * order.
 */

export const CREATE_RULES: readonly Rule<CreateFacts>[] = [
  ...IMAGE_FORMAT_RULES,
  ...INTERNAL_DISK_RULES,
  ...INTERNAL_NAME_RULES,
  ...UNSAVED_STATE_RULES,
  ...CHECKPOINT_CREATE_RULES,
  ...UNMANAGED_CREATE_RULES,
  ...SHAREABLE_RULES,
  ...VM_RULES,
  ...WRITE_CREATE_RULES,
  ...SHARING_RULES,
  ...PARTIAL_CREATE_RULES,
  ...WAY_BACK_RULES,
  ...TARGET_FILE_RULES,
  ...EXTERNAL_VM_RULES,
  ...EXTERNAL_CONTENT_RULES,
];

/** Whether a rule needs libvirtd's version. Asking costs a process, and sometimes seconds. */
export function needsDaemonVersion(domain: Domain, mode: Mode): boolean {
  return (
    mode !== 'internal' ||
    isActive(domain.state) ||
    domain.pflash !== null ||
    domain.checkpoints.length > 0 ||
    domain.disks.some((disk) => takesPart(disk) && formatOf(disk) !== 'qcow2') ||
    readOnlyForeign(domain).length > 0
  );
}
