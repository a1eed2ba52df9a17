import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, seen } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import {
  at,
  both,
  external,
  MEMORY,
  named,
  network,
  noFile,
  OVERLAY,
  onBlock,
  running,
  vda,
} from './external-facts.ts';

export const overlays = (count: number) =>
  new Map([['vda', seen({}, ...Array.from({ length: count }, (_, i) => ({ path: `/vm/vda.${i}` })))]]);

const reusingRunning = external({ diskOnly: true, reuse: true }, running);

const reusing = external({ diskOnly: true, reuse: true });

export const TARGET_FILE_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'no-target-file': {
    severity: 'error',
    cases: [
      { says: 'files', facts: both, finds: [] },
      { says: 'named for a device', facts: external({ diskOnly: true, disks: named }, noFile), finds: [] },
      {
        says: 'a block device of a VM that is off',
        facts: external({ external: true }, noFile),
        finds: [{ what: /disk vda \(\/dev\/vg\/web\) is not a file/, hint: /--diskspec vda,file=\// }],
      },
      {
        says: 'one of a running VM: neither overlay nor memory',
        facts: external({ external: true }, { ...running, ...noFile }),
        finds: [
          { what: /cannot choose a place for its overlay/ },
          { what: /for the memory/, hint: /--memspec/ },
        ],
      },
      {
        says: 'a disk on the network',
        facts: external({ diskOnly: true }, { ...running, ...network }),
        finds: [{ what: /disk vda is not a file/ }],
      },
      {
        says: 'the memory of a VM without disks',
        facts: external({ external: true }, { ...running, disks: [] }),
        finds: [{ what: /for the memory/, hint: /--memspec/ }],
      },
    ],
  },
  'chain-too-deep': {
    severity: 'error',
    cases: [
      { says: 'room enough', facts: external({ diskOnly: true }, {}, { images: overlays(17) }), finds: [] },
      {
        says: 'another libvirt',
        facts: external({ diskOnly: true }, {}, { images: overlays(18), daemonVersion: 12_000_000 }),
        finds: [],
      },
      {
        says: 'too near to the limit',
        facts: external({ diskOnly: true }, {}, { images: overlays(18) }),
        finds: [
          {
            what: /^disk vda has a chain of 18 overlays, and .* cannot start a VM with more than 24 overlays$/,
            hint: /while the VM runs/,
            command: 'kvmsnap check centos7-1',
          },
        ],
      },
      {
        says: 'everywhere there is a limit',
        facts: external({ diskOnly: true }, {}, { images: overlays(180), daemonVersion: 12_000_000 }),
        finds: [{ what: /more than 199/ }],
      },
    ],
  },
  'same-file': {
    severity: 'error',
    cases: [
      { says: 'each its own', facts: both, finds: [] },
      {
        says: 'the memory in the overlay',
        facts: external({ memory: { location: null, file: '/vm/o' }, disks: named }, running),
        finds: [{ what: /^\/vm\/o would be used for more than one part/ }],
      },
      {
        says: "libvirt's own names of two disks",
        facts: external(
          { diskOnly: true, namedBy: 'libvirt' },
          { disks: [disk({ source: '/vm/a.qcow2' }), disk({ target: 'vdb', source: '/vm/a.raw' })] },
        ),
        finds: [{ what: /^\/vm\/a\.s1 / }],
      },
    ],
  },
  'existing-file': {
    severity: 'error',
    cases: [
      { says: 'nothing there', facts: both, finds: [] },
      { says: 'a file to be reused', facts: at(reusing, OVERLAY, { holds: 'file' }), finds: [] },
      { says: 'a device', facts: at(onBlock, '/dev/vg/o', { holds: 'device' }), finds: [] },
      {
        says: 'an overlay',
        facts: at(both, OVERLAY, { holds: 'file' }),
        finds: [{ what: /^\/vm\/vda\.s1 already exists.*since another snapshot/, hint: /another name/ }],
      },
      {
        says: 'the memory of another snapshot',
        facts: at(both, MEMORY, { holds: 'file', bytes: 9 }),
        finds: [{ what: /centos7-1\.s1\.mem already exists.*memory of another snapshot/ }],
      },
      {
        says: 'the memory, where overlays are reused',
        facts: at(external({ external: true, reuse: true }, running), MEMORY, { holds: 'file' }),
        finds: [{ what: /\.mem already exists/ }],
      },
    ],
  },
  'dangling-link': {
    severity: 'error',
    cases: [
      { says: 'nothing there', facts: both, finds: [] },
      {
        says: 'where an overlay is reused',
        facts: at(reusing, OVERLAY, { isDanglingLink: true }),
        finds: [],
      },
      {
        says: 'for an overlay',
        facts: at(both, OVERLAY, { isDanglingLink: true }),
        finds: [
          {
            what: /^\/vm\/vda\.s1 is a symbolic link .* instead of \/vm$/,
            command: 'ls -ld -- /vm/vda.s1',
          },
        ],
      },
      {
        says: 'for the memory',
        facts: at(both, MEMORY, { isDanglingLink: true }),
        finds: [{ what: /s1\.mem is a symbolic link/ }],
      },
    ],
  },
  'unseen-file': {
    severity: 'overridable',
    cases: [
      { says: 'looked at', facts: both, finds: [] },
      { says: 'an overlay, which libvirt itself spares', facts: at(both, OVERLAY, null), finds: [] },
      {
        says: 'the memory, on another host',
        facts: at(both, MEMORY, null),
        finds: [{ what: /cannot see from here whether/, hint: /--force/ }],
      },
    ],
  },
  'device-overwritten': {
    severity: 'overridable',
    cases: [
      { says: 'a file', facts: both, finds: [] },
      {
        says: 'a device',
        facts: onBlock,
        finds: [{ what: /vda.*will overwrite everything on \/dev\/vg\/o/ }],
      },
      {
        says: 'a device that is reused',
        facts: external({
          diskOnly: true,
          reuse: true,
          disks: vda({ storage: 'block', file: '/dev/vg/o' }),
        }),
        finds: [],
      },
    ],
  },
  'reused-file': {
    severity: 'overridable',
    cases: [
      { says: 'made anew', facts: both, finds: [] },
      {
        says: 'made for this image',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: '/vm/vda.qcow2' }),
        finds: [],
      },
      {
        says: 'not there',
        facts: reusing,
        finds: [
          {
            what: /does not exist/,
            command: 'qemu-img create -f qcow2 -F qcow2 -b /vm/vda.qcow2 /vm/vda.s1',
          },
        ],
      },
      {
        says: 'made for another image',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: '/vm/other' }),
        finds: [{ what: /has the backing file \/vm\/other instead of \/vm\/vda\.qcow2/ }],
      },
      {
        says: 'over nothing, off',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: null }),
        finds: [{ what: /has no backing file instead of .* the guest would see a different disk/ }],
      },
      {
        says: 'over nothing, running: QEMU is told what it lies over',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: null }),
        finds: [],
      },
      {
        says: 'made for another image, running',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: '/vm/other' }),
        finds: [{ what: /has the backing file \/vm\/other.* every other program will see a different disk/ }],
      },
    ],
  },
  'reused-without-backing': {
    severity: 'warning',
    cases: [
      {
        says: 'off: refused',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: null }),
        finds: [],
      },
      { says: 'not there', facts: reusingRunning, finds: [] },
      {
        says: 'running',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: null }),
        finds: [{ what: /has no backing file\. libvirt puts it on top of \/vm\/vda\.qcow2/ }],
      },
    ],
  },
  directory: {
    severity: 'error',
    cases: [
      { says: 'there and writable', facts: both, finds: [] },
      {
        says: 'missing, said once',
        facts: at(at(both, OVERLAY, { directory: 'missing' }), MEMORY, { directory: 'missing' }),
        finds: [{ what: /directory \/vm does not exist/, command: 'mkdir -p /vm' }],
      },
      {
        says: 'read-only',
        facts: at(both, OVERLAY, { directory: 'read-only' }),
        finds: [{ what: /\/vm is read-only/, hint: /--diskspec/ }],
      },
      {
        says: 'immutable',
        facts: at(both, OVERLAY, { directory: 'immutable' }),
        finds: [{ what: /the directory \/vm is immutable/ }],
      },
      {
        says: 'a file where the directory should be',
        facts: at(both, MEMORY, { directory: 'blocked' }),
        finds: [{ what: /\/vm is not a directory, or is below a file/, hint: /elsewhere/ }],
      },
    ],
  },
  'file-name-too-long': {
    severity: 'error',
    cases: [
      {
        says: '255 bytes',
        facts: external({ external: true }, { disks: [disk({ source: `/vm/${'盘'.repeat(84)}` })] }),
        finds: [],
      },
      {
        says: '258 bytes',
        facts: external({ external: true }, { disks: [disk({ source: `/vm/${'盘'.repeat(85)}` })] }),
        finds: [{ what: /258 bytes long, and the limit is 255/ }],
      },
    ],
  },
};
