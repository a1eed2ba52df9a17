// Cases of the rules about files that other VMs use too.
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { disk, domain, seen, snapshot, usedBy } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external } from './external-facts.ts';

const VDA = '/vm/vda.qcow2';

/** `facts`: one disk, all well. */
export const sharingCases = (facts: CreateFacts): Readonly<Record<string, RuleCases<CreateFacts>>> => ({
  'image-in-use': {
    severity: 'error',
    cases: [
      { says: 'a VM that is off has it', facts: { ...facts, users: usedBy(VDA, {}) }, finds: [] },
      {
        says: 'a running VM has it',
        facts: { ...facts, users: usedBy(VDA, { open: true }) },
        finds: [
          {
            what: /^disk vda: \/vm\/vda\.qcow2 cannot be written to now, because VM web-2 \(running\) uses it as disk vda$/,
            command: 'virsh shutdown web-2',
          },
        ],
      },
      {
        says: 'a running VM lies on it',
        facts: { ...facts, users: usedBy(VDA, { kind: 'below', open: true, writes: false }) },
        finds: [{ what: /VM web-2 \(running\) has an overlay on top of it \(disk vda\)/ }],
      },
      {
        says: 'a running VM writes to the image below',
        facts: {
          ...facts,
          images: new Map([['vda', seen({}, { path: '/vm/base' })]]),
          users: usedBy('/vm/base', { open: true }),
        },
        finds: [{ what: /another VM writes to its backing file \/vm\/base/ }],
      },
      {
        says: 'a running VM lies on the image below too',
        facts: {
          ...facts,
          images: new Map([['vda', seen({}, { path: '/vm/base' })]]),
          users: usedBy('/vm/base', { kind: 'below', open: true, writes: false }),
        },
        finds: [],
      },
    ],
  },
  'image-written': {
    severity: 'error',
    cases: [
      {
        says: 'a running VM only reads',
        facts: external({ external: true }, {}, { users: usedBy(VDA, { open: true, writes: false }) }),
        finds: [],
      },
      {
        says: 'a running VM writes to what the overlay is laid over',
        facts: external({ external: true }, {}, { users: usedBy(VDA, { open: true }) }),
        finds: [
          { what: /cannot preserve \/vm\/vda\.qcow2 while another VM writes to it: VM web-2 \(running\)/ },
        ],
      },
      {
        says: 'a running VM writes to the backing file of that',
        facts: external(
          { external: true },
          {},
          {
            images: new Map([['vda', seen({}, { path: '/vm/base' })]]),
            users: usedBy('/vm/base', { open: true }),
          },
        ),
        finds: [{ what: /cannot preserve \/vm\/base while another VM writes to it: VM web-2 \(running\)/ }],
      },
    ],
  },
  'image-users': {
    severity: 'error',
    cases: [
      { says: 'a new file', facts: external(), finds: [] },
      {
        says: 'a file of another VM is to be reused',
        facts: external({ external: true, reuse: true }, {}, { users: usedBy('/vm/vda.s1', {}) }),
        finds: [{ what: /^this VM would write to \/vm\/vda\.s1, and VM web-2/ }],
      },
    ],
  },
  'shared-image': {
    severity: 'warning',
    cases: [
      {
        says: 'a snapshot of another VM is in it',
        facts: { ...facts, users: usedBy(VDA, { kind: 'tags', snapshots: ['s9'] }) },
        finds: [],
      },
      {
        says: 'a VM that is off has it',
        facts: { ...facts, users: usedBy(VDA, {}) },
        finds: [
          {
            what: /other VMs use \S+ too: VM web-2 \(shut off\) uses it as disk vda/,
            hint: /virsh edit web-2/,
          },
        ],
      },
    ],
  },
  'shared-base': {
    severity: 'warning',
    cases: [
      {
        says: 'a VM that is off lies on it',
        facts: external({ external: true }, {}, { users: usedBy(VDA, { kind: 'below', writes: false }) }),
        finds: [],
      },
      {
        says: 'a VM that is off will write to it',
        facts: external({ external: true }, {}, { users: usedBy(VDA, {}) }),
        finds: [{ what: /VM web-2 \(shut off\) uses it as disk vda\. If such a VM runs, it writes to/ }],
      },
    ],
  },
});

const overlay = (name: string, over: string) =>
  snapshot(name, {
    disks: [{ target: 'vda', location: 'external', source: `/vm/vda.${name}` }],
    definedDisks: [{ target: 'vda', source: over, driver: 'qcow2' }],
  });

const onOverlay = (facts: RevertFacts, changes: Partial<RevertFacts>): RevertFacts => ({
  ...facts,
  domain: domain({ disks: [disk({ source: '/vm/vda.e1' })] }),
  snapshot: overlay('e1', VDA),
  snapshots: [overlay('e1', VDA)],
  current: 'e1',
  daemonVersion: 12_008_000,
  images: new Map([['vda', seen()]]),
  active: new Map([['vda', seen({ path: '/vm/vda.e1' }, {})]]),
  ...changes,
});

/** `facts`: an internal snapshot of one disk, all well. */
export const sharedReverts = (facts: RevertFacts): Readonly<Record<string, RuleCases<RevertFacts>>> => ({
  'image-users': {
    severity: 'error',
    cases: [
      {
        says: 'a snapshot of another VM is in the image, and stays',
        facts: { ...facts, users: usedBy(VDA, { kind: 'tags', snapshots: ['s9'] }) },
        finds: [],
      },
      {
        says: 'another VM would see other content',
        facts: { ...facts, users: usedBy(VDA, {}) },
        finds: [
          {
            what: /^disk vda: the revert changes the content of \/vm\/vda\.qcow2, and VM web-2 \(shut off\) uses it as disk vda$/,
            hint: /give web-2 another disk first.*\(virsh edit web-2\); or copy the content of s1/,
          },
        ],
      },
      {
        says: 'a snapshot of another VM would be another state',
        facts: { ...facts, users: usedBy(VDA, { kind: 'state', snapshots: ['e9'] }) },
        finds: [{ what: /VM web-2 \(shut off\) needs it for its snapshot e9/, hint: /delete snapshot e9/ }],
      },
      {
        says: 'NVRAM that another VM has too would be reset',
        facts: {
          ...facts,
          domain: domain({ pflash: { nvramFormat: 'raw', nvramPath: '/vm/vars' } }),
          resetNvram: true,
          users: usedBy('/vm/vars', { target: null }),
        },
        finds: [{ what: /changes the NVRAM \/vm\/vars, and VM web-2 \(shut off\) has it in its definition/ }],
      },
      {
        says: 'a varstore that another VM has too, and that loaded memory overwrites',
        facts: {
          ...facts,
          domain: domain({ pflash: { nvramFormat: 'json', nvramPath: '/vm/vars' } }),
          snapshot: { ...facts.snapshot, memory: { location: 'internal', file: null }, state: 'running' },
          users: usedBy('/vm/vars', { target: null }),
        },
        finds: [{ what: /changes the NVRAM \/vm\/vars, and VM web-2 \(shut off\) has it in its definition/ }],
      },
      {
        says: 'a varstore that a running VM has too, and that a start overwrites',
        facts: {
          ...facts,
          domain: domain({ pflash: { nvramFormat: 'json', nvramPath: '/vm/vars' } }),
          end: 'running',
          users: usedBy('/vm/vars', { target: null, open: true }),
        },
        finds: [{ what: /changes the NVRAM \/vm\/vars, and VM web-2 \(running\)/ }],
      },
      {
        says: 'such a varstore, where QEMU is not started',
        facts: {
          ...facts,
          domain: domain({ pflash: { nvramFormat: 'json', nvramPath: '/vm/vars' } }),
          end: 'shutoff',
          users: usedBy('/vm/vars', { target: null, open: true }),
        },
        finds: [],
      },
      {
        says: 'external: the base stays as it is',
        facts: onOverlay(facts, { users: usedBy(VDA, { kind: 'below' }) }),
        finds: [],
      },
      {
        says: 'external: a running VM writes to the base',
        facts: onOverlay(facts, { users: usedBy(VDA, { open: true }) }),
        finds: [
          {
            what: /\/vm\/vda\.qcow2 contains a part of snapshot e1, and another VM writes to it: VM web-2 \(running\)/,
            command: 'virsh shutdown web-2',
          },
        ],
      },
      {
        says: 'an image on the network',
        facts: {
          ...facts,
          snapshot: snapshot('s1', {
            disks: [{ target: 'vda', location: 'internal', source: null, address: 'nbd://a:10809/x' }],
          }),
          users: usedBy('nbd://a:10809/x', {}),
        },
        finds: [{ what: /changes the content of nbd:\/\/a:10809\/x, and VM web-2 \(shut off\) uses it/ }],
      },
      {
        says: 'external: the overlay in use is removed',
        facts: onOverlay(facts, { users: usedBy('/vm/vda.e1', { kind: 'below' }) }),
        finds: [{ what: /^the revert removes \/vm\/vda\.e1, and VM web-2/ }],
      },
    ],
  },
  'shared-base': {
    severity: 'warning',
    cases: [
      {
        says: 'a VM that is off lies on it',
        facts: onOverlay(facts, { users: usedBy(VDA, { kind: 'below', writes: false }) }),
        finds: [],
      },
      {
        says: 'a VM that is off will write to it',
        facts: onOverlay(facts, { users: usedBy(VDA, {}) }),
        finds: [{ what: /VM web-2 \(shut off\) uses it as disk vda\. If such a VM runs, it writes to/ }],
      },
    ],
  },
});
