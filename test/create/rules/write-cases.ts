// Cases of the rules about images that cannot be written to, or to which nothing can be added.
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import type { ObstacleKind, WriteObstacles } from '../../../src/model/write-obstacles.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { disk, domain, snapshot } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external } from './external-facts.ts';

const VDA = '/vm/vda.qcow2';

type Making<Facts> = (changes?: Partial<Facts>) => Facts;

/** Something in the way of writing to an image. */
export const obstacle = (
  kind: ObstacleKind,
  place = VDA,
  { path = VDA, stopsOpenFiles = false } = {},
): WriteObstacles => new Map([[path, { kind, place, stopsOpenFiles }]]);

const running = domain({ state: 'running' });
const stopping = { stopsOpenFiles: true };

export const writeCreateCases = (
  creating: Making<CreateFacts>,
): Readonly<Record<string, RuleCases<CreateFacts>>> => ({
  'unwritable-image': {
    severity: 'error',
    cases: [
      { says: 'nothing in the way', facts: creating(), finds: [] },
      { says: 'a full device', facts: creating({ writeObstacles: obstacle('full-device') }), finds: [] },
      {
        says: 'a read-only disk may be on anything',
        facts: creating({
          domain: domain({ disks: [disk(), disk({ target: 'vdb', readonly: true })] }),
          writeObstacles: obstacle('immutable', '/vm/vdb.qcow2', { path: '/vm/vdb.qcow2' }),
        }),
        finds: [],
      },
      {
        says: 'QEMU has it open already',
        facts: creating({ domain: running, writeObstacles: obstacle('read-only-mount', '/vm') }),
        finds: [],
      },
      ...(
        [
          ['read-only-mount', /\/vm is mounted read-only, so no snapshot/, 'mount -o remount,bind,rw /vm'],
          ['read-only-file-system', /the file system of \/vm is read-only/, 'findmnt --target /vm'],
          ['read-only-device', /the device \/vm is read-only/, 'blockdev --setrw /vm'],
          ['immutable', /\/vm is immutable/, 'chattr -i /vm'],
          ['append-only', /\/vm cannot be opened for writing/, 'chattr -a /vm'],
          ['permission', /\/vm cannot be written to by this user/, 'chmod u+w /vm'],
        ] as const
      ).map(([kind, what, command]) => ({
        says: `off: ${kind}`,
        facts: creating({ writeObstacles: obstacle(kind, '/vm') }),
        finds: [{ what, command }],
      })),
      {
        says: 'running: what stops QEMU too',
        facts: creating({ domain: running, writeObstacles: obstacle('immutable', VDA, stopping) }),
        finds: [{ what: /^disk vda \(\/vm\/vda\.qcow2\): \/vm\/vda\.qcow2 is immutable/ }],
      },
    ],
  },
  'unwritable-base': {
    severity: 'error',
    cases: [
      {
        says: 'off: the base is only read',
        facts: external({ external: true }, {}, { writeObstacles: obstacle('immutable', VDA, stopping) }),
        finds: [],
      },
      {
        says: 'running: QEMU can write to what it has open',
        facts: external(
          { external: true },
          { state: 'running' },
          { writeObstacles: obstacle('read-only-mount') },
        ),
        finds: [],
      },
      {
        says: 'running: it cannot',
        facts: external(
          { external: true },
          { state: 'running' },
          { writeObstacles: obstacle('immutable', VDA, stopping) },
        ),
        finds: [{ what: /is immutable .*switch to an overlay$/ }],
      },
    ],
  },
  'unwritable-after-stop': {
    severity: 'warning',
    cases: [
      { says: 'off', facts: creating({ writeObstacles: obstacle('read-only-mount') }), finds: [] },
      {
        says: 'running: it cannot write now',
        facts: creating({ domain: running, writeObstacles: obstacle('immutable', VDA, stopping) }),
        finds: [],
      },
      {
        says: 'running: only QEMU can',
        facts: creating({ domain: running, writeObstacles: obstacle('read-only-mount') }),
        finds: [{ what: /can neither be reverted nor be started again$/ }],
      },
    ],
  },
  'no-room-in-image': {
    severity: 'error',
    cases: [
      { says: 'another obstacle', facts: creating({ writeObstacles: obstacle('immutable') }), finds: [] },
      {
        says: 'a full device',
        facts: creating({ writeObstacles: obstacle('full-device', '/dev/vg/a') }),
        finds: [{ what: /fills the device \/dev\/vg\/a, so/, hint: /lvextend/ }],
      },
      {
        says: 'a full file system, running or not',
        facts: creating({ domain: running, writeObstacles: obstacle('full-file-system', '/vm') }),
        finds: [{ what: /the file system of \/vm is full/, command: 'df -h /vm' }],
      },
    ],
  },
});

const ranThen = snapshot('s1', { state: 'running', memory: { location: 'internal', file: null } });
const VDB = '/vm/vdb.qcow2';

export const writeRevertCases = (
  reverting: Making<RevertFacts>,
): Readonly<Record<string, RuleCases<RevertFacts>>> => ({
  'refcounts-too-low': {
    severity: 'error',
    cases: [
      { says: 'nobody has looked', facts: reverting(), finds: [] },
      {
        says: 'a cluster that is counted too low',
        facts: reverting({ undercounted: new Map([['/vm/vda.qcow2', 1]]) }),
        finds: [{ what: /a cluster is in use, but the image counts it as free, or as used less often,/ }],
      },
    ],
  },
  'unwritable-image': {
    severity: 'error',
    cases: [
      { says: 'nothing in the way', facts: reverting(), finds: [] },
      {
        says: 'a revert takes no room',
        facts: reverting({ writeObstacles: obstacle('full-device') }),
        finds: [],
      },
      {
        says: 'off',
        facts: reverting({ writeObstacles: obstacle('read-only-mount', '/vm') }),
        finds: [{ what: /^disk vda .*revert the other disks, and fail on this one$/ }],
      },
      {
        says: 'running',
        facts: reverting({ domain: running, writeObstacles: obstacle('read-only-mount', '/vm') }),
        finds: [{ what: /libvirt would stop the running guest/ }],
      },
      {
        says: '7.0 loads the memory into the QEMU that has it open',
        facts: reverting({
          domain: running,
          snapshot: ranThen,
          daemonVersion: 7_000_000,
          writeObstacles: obstacle('read-only-mount', '/vm'),
        }),
        finds: [],
      },
      {
        says: 'another disk of the definition that the VM is started with',
        facts: reverting({
          snapshot: {
            ...ranThen,
            definedDisks: [...ranThen.definedDisks, { target: 'vdb', source: VDB, driver: 'raw' }],
          },
          writeObstacles: obstacle('immutable', VDB, { path: VDB }),
        }),
        finds: [{ what: /^disk vdb/, command: 'chattr -i /vm/vdb.qcow2' }],
      },
      {
        says: 'which is not started',
        facts: reverting({
          snapshot: snapshot('s1', {
            definedDisks: [...ranThen.definedDisks, { target: 'vdb', source: VDB, driver: 'raw' }],
          }),
          writeObstacles: obstacle('immutable', VDB, { path: VDB }),
        }),
        finds: [],
      },
      {
        says: 'an external snapshot: the images below are only read',
        facts: reverting({
          snapshot: snapshot('s1', {
            disks: [{ target: 'vda', location: 'external', source: '/vm/vda.s1' }],
          }),
          writeObstacles: obstacle('immutable'),
        }),
        finds: [],
      },
    ],
  },
});
