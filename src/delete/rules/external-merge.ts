import { adviseDeletion } from '../../model/deletion-advice.ts';
import { isFrom, MINDS_BRANCHES } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import { mebibytes, type Rule } from '../../model/rule.ts';
import { locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { ancestors, descendants } from '../../model/tree.ts';
import { deletionOf } from '../deletion-set.ts';
import { external, nameAll } from './external.ts';
import type { DeleteFacts } from './facts.ts';

/** Rules about the merge of an overlay into the file below it. */

export const EXTERNAL_MERGE_RULES: readonly Rule<DeleteFacts>[] = [
  external('daemon-crash', [34], (facts) => {
    const { snapshot, snapshots, current, daemonVersion, domain } = facts;
    if (deletionOf(facts) !== 'merge' || isFrom(daemonVersion, MINDS_BRANCHES)) return [];
    const own = new Set([current, ...(current === null ? [] : ancestors(snapshots, current))]);
    const onOtherBranches = descendants(snapshots, snapshot.name).filter(
      (below) => !own.has(below.name) && locationOf(below) === 'external',
    );
    if (onOtherBranches.length === 0) return [];
    return [
      {
        what: `${nameAll(onOtherBranches)} ${onOtherBranches.length === 1 ? 'is on another branch' : 'are on other branches'} below ${inText(snapshot.name)} than the VM, and libvirtd (11.3) crashes when it merges an overlay that another branch needs`,
        ...adviseDeletion({ domain, snapshots }, onOtherBranches.map(({ name }) => name).reverse(), {
          hint: `if you can do without ${onOtherBranches.length === 1 ? 'it, delete it first' : 'them, delete them first, the newest first'}`,
        }),
      },
    ];
  }),
  external('managed-save', [35], (facts) => {
    const { domain, snapshot } = facts;
    if (!domain.managedSave || deletionOf(facts) !== 'merge') return [];
    return [
      {
        what: `the VM has a managed save, which needs the overlay of ${inText(snapshot.name)}: the VM could not be started from it any more`,
        hint: 'start the VM first, and delete the snapshot while it runs',
        command: `virsh start ${virshWord(domain)}`,
      },
    ];
  }),
  external('space-for-merge', [7], ({ snapshot, merges }) =>
    merges
      .filter(({ growthBytes, freeBytes }) => growthBytes > freeBytes)
      .map(({ target, base, growthBytes, freeBytes, isDevice }) => ({
        what: `disk ${target}: when ${inText(snapshot.name)} is merged, ${base} grows by ${mebibytes(growthBytes)}, but ${isDevice ? 'the device' : 'its file system'} has only ${mebibytes(freeBytes)} free, so the merge would fail`,
        hint: isDevice
          ? 'make the device larger first (for a logical volume: lvextend)'
          : 'free some space there first',
      })),
  ),
  external('block-job', [30], ({ domain }) =>
    domain.disks
      .filter(({ mirrored }) => mirrored)
      .map(({ target }) => ({
        what: `disk ${target}: a block job is running, and libvirt cannot delete an external snapshot meanwhile`,
        hint: 'wait until it has finished, or abort it (what it has done so far is lost)',
        command: `virsh blockjob ${virshWord(domain)} ${target} --abort`,
      })),
  ),
];
