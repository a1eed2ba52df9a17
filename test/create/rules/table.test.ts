import { expect, test } from 'vitest';
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { CREATE_RULES, needsDaemonVersion } from '../../../src/create/rules/table.ts';
import { applyRules } from '../../../src/model/rule.ts';
import { disk, domain, seen } from '../../model.ts';
import { describeRules } from '../../rule-cases.ts';
import { checkpointCreateCases } from './checkpoint-cases.ts';
import { creating, NEW_DAEMON, readOnly, running } from './creating.ts';
import { EXTERNAL_CONTENT_CASES } from './external-contents-cases.ts';
import { external } from './external-facts.ts';
import { TARGET_FILE_CASES } from './external-target-files-cases.ts';
import { EXTERNAL_VM_CASES } from './external-vm-cases.ts';
import { WAY_BACK_CASES } from './external-way-back-cases.ts';
import { IMAGE_FORMAT_CASES } from './image-format-cases.ts';
import { INTERNAL_DISK_CASES } from './internal-disks-cases.ts';
import { INTERNAL_NAME_CASES } from './internal-names-cases.ts';
import { PARTIAL_CREATE_CASES } from './partial-cases.ts';
import { sharingCases } from './sharing-cases.ts';
import { SHAREABLE_CASES, unmanagedCreateCases } from './unmanaged-cases.ts';
import { UNSAVED_STATE_CASES } from './unsaved-state-cases.ts';
import { VM_CASES } from './vm-cases.ts';
import { writeCreateCases } from './write-cases.ts';

describeRules(
  'before a create',
  CREATE_RULES,
  {
    ...IMAGE_FORMAT_CASES,
    ...INTERNAL_DISK_CASES,
    ...INTERNAL_NAME_CASES,
    ...UNSAVED_STATE_CASES,
    ...checkpointCreateCases(creating),
    ...unmanagedCreateCases(creating),
    ...SHAREABLE_CASES,
    ...VM_CASES,
    ...writeCreateCases(creating),
    ...sharingCases(creating()),
    ...PARTIAL_CREATE_CASES,
    ...WAY_BACK_CASES,
    ...TARGET_FILE_CASES,
    ...EXTERNAL_VM_CASES,
    ...EXTERNAL_CONTENT_CASES,
  },
  [
    creating(),
    creating({ domain: running(), daemonVersion: NEW_DAEMON }),
    external(),
    external({ external: true }, { state: 'running' }),
    external({ diskOnly: true, quiesce: true }, { state: 'running' }, { agent: 'answers' }),
  ],
);

test('findings come in the order of the rules, with their rule and severity', () => {
  const facts = creating({
    domain: running({ disks: [disk({ driver: 'raw' }), disk({ target: 'vdb', driver: null })] }),
    images: new Map([
      ['vda', seen()],
      ['vdb', seen()],
    ]),
    freeBytes: 0,
  });
  expect(applyRules(CREATE_RULES, facts).map(({ rule, severity }) => [rule, severity])).toEqual([
    ['format-disagrees', 'error'],
    ['format-disagrees', 'error'],
    ['free-space', 'overridable'],
  ]);
});

test.each([
  ['off', domain(), false],
  ['running', running(), true],
  ['UEFI', domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }), true],
  ['a read-only raw disk', readOnly('raw'), true],
  [
    'a read-only raw cdrom',
    domain({ disks: [disk({ device: 'cdrom', driver: 'raw', readonly: true })] }),
    false,
  ],
])("a create asks for libvirtd's version only where a rule needs it: %s", (_, vm, needed) => {
  expect(needsDaemonVersion(vm, 'internal')).toBe(needed);
});

test('what a run over many VMs skips is the kind of VM; a state that may pass is a failure', () => {
  expect(CREATE_RULES.filter(({ unsupported }) => unsupported).map(({ id }) => id)).toEqual([
    'no-disks',
    'not-qcow2',
    'external-by-default',
    'excluded-disk',
    'image-cannot-snapshot',
    'encrypted-image',
    'network-disk',
    'uefi',
    'shareable-overlay',
    'transient-disk',
    'host-device',
    'shared-filesystem',
    'manual-unknown',
    'manual-alone',
    'external-on-old-daemon',
    'no-revert',
    'label-undeletable',
    'no-target-file',
    'network-overlay',
    'encrypted-base',
    'quiesce',
  ]);
});

test('each rule holds for what is planned: an overlay asks for no qcow2 image, and none of its files is asked for inside', () => {
  const raw = [disk({ source: '/vm/vda.raw', driver: 'raw' })];
  const images = new Map([['vda', seen({ format: 'raw' })]]);
  const told = (facts: CreateFacts) => applyRules(CREATE_RULES, facts).map(({ rule }) => rule);
  expect(told({ ...external({ external: true }, { disks: raw }), images })).toEqual([]);
  expect(told({ ...creating({ domain: domain({ disks: raw }) }), images })).toEqual(['not-qcow2']);
  const uefi = { state: 'running', pflash: { nvramFormat: 'raw', nvramPath: null } };
  expect(told(external({ external: true }, uefi))).toEqual(['nvram-beside']);
  const withDevice = { state: 'running', hostDevices: ['pci'] };
  expect(told(external({ external: true }, withDevice))).toEqual(['host-device']);
  expect(told(external({ diskOnly: true }, withDevice))).toEqual([]);
  const transient = { state: 'running', disks: [disk(), disk({ target: 'vdb', transient: true })] };
  const without = [{ disk: 'vdb', location: 'no', file: null, driver: null, storage: null }];
  expect(told(external({ diskOnly: true, disks: without }, transient))).toEqual(['left-out']);
  expect(told(external({ external: true, disks: without }, transient))).toEqual([
    'transient-disk',
    'left-out',
  ]);
});
