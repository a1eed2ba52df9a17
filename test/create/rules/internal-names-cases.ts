import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, domain, seen, tag } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { creating, creatingOn, NEW_DAEMON, running, unseen } from './creating.ts';

export const INTERNAL_NAME_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'orphan-tag': {
    severity: 'error',
    cases: [
      { says: 'other tags', facts: creatingOn({}, seen({ tags: [tag('snapshot-1')] })), finds: [] },
      {
        says: 'in the base only, which libvirt does not touch',
        facts: creatingOn({}, seen({}, { tags: [tag('snapshot-2')] })),
        finds: [],
      },
      {
        says: 'one of that name in the second disk',
        facts: creating({
          domain: domain({ disks: [disk(), disk({ target: 'vdb' })] }),
          images: new Map([
            ['vda', seen()],
            ['vdb', seen({ tags: [tag('snapshot-2', { id: '7' })] })],
          ]),
        }),
        finds: [
          {
            what: /disk vdb: \/vm\/vdb\.qcow2 already contains a snapshot snapshot-2 \(id 7\)/,
            command: 'qemu-img snapshot -d snapshot-2 --image-opts driver=qcow2,file.filename=/vm/vdb.qcow2',
          },
        ],
      },
    ],
  },
  'name-is-an-id': {
    severity: 'error',
    cases: [
      { says: 'another id', facts: creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), finds: [] },
      {
        says: 'its own id',
        facts: { ...creatingOn({}, seen({ tags: [tag('2', { id: '2' })] })), name: '2' },
        finds: [],
      },
      { says: 'an image out of reach', facts: { ...creatingOn({}, unseen('qcow2')), name: '2' }, finds: [] },
      {
        says: 'the id of another',
        facts: { ...creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), name: '2' },
        finds: [{ what: /disk vda: .*s1 has the id 2/, hint: /snapshot-2/ }],
      },
    ],
  },
  'name-may-be-an-id': {
    severity: 'warning',
    cases: [
      { says: 'a name with a letter', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      { says: 'seconds since 1970', facts: { ...creating(), name: '1795424800' }, finds: [] },
      { says: 'its own id', facts: { ...creating(), name: '1' }, finds: [] },
      {
        says: 'an id to come',
        facts: { ...creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), name: '7' },
        finds: [{ what: /^7 is a number, .* such as snapshot-7, is safe$/ }],
      },
      {
        says: 'an image out of reach',
        facts: { ...creatingOn({}, unseen('qcow2')), name: '1' },
        finds: [{ what: /^1 is a number/ }],
      },
    ],
  },
  'id-is-a-name': {
    severity: 'warning',
    cases: [
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'no snapshot of that name',
        facts: creatingOn({}, seen({ tags: [tag('1', { id: '1' })] })),
        finds: [],
      },
      {
        says: 'the next id, after a gap, is a name',
        facts: creatingOn({}, seen({ tags: [tag('8', { id: '1' }), tag('x', { id: '7' })] })),
        finds: [{ what: /disk vda: .*will have the id 8.*cannot revert to the snapshot named 8/ }],
      },
      {
        says: 'the first id is a name',
        facts: creatingOn({}, seen({ tags: [tag('2', { id: '1' })] })),
        finds: [{ what: /will have the id 2/ }],
      },
    ],
  },
  'job-name': {
    severity: 'error',
    cases: [
      {
        says: 'a plain name',
        facts: creating({ domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'any name, the VM off',
        facts: creating({ name: '升级 前', daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'any name, an older libvirtd',
        facts: creating({ name: '升级 前', domain: running() }),
        finds: [],
      },
      {
        says: 'a name with a space, running, a libvirtd that saves by job',
        facts: creating({ name: 'before upgrade', domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [{ what: /and not 'before upgrade'/, hint: /use the name before-upgrade/ }],
      },
      {
        says: 'the same where the version is not known',
        facts: creating({ name: 'before upgrade', domain: running(), daemonVersion: null }),
        finds: [{ what: /libvirtd 10\.9 and newer \(this one does not tell its version\) accepts only/ }],
      },
    ],
  },
  'monitor-name': {
    severity: 'error',
    cases: [
      { says: 'any other name', facts: creating({ name: "升级 'x'", domain: running() }), finds: [] },
      { says: 'off', facts: creating({ name: 'a"b' }), finds: [] },
      {
        says: 'a libvirtd that saves by job',
        facts: creating({ name: 'a"b', domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'a quote, running, an older libvirtd',
        facts: creating({ name: 'a"b', domain: running() }),
        finds: [{ what: /garbles.*'a"b'/, hint: /use the name a-b/ }],
      },
      {
        says: 'a backslash, running, an older libvirtd',
        facts: creating({ name: 'a\\b', domain: running() }),
        finds: [{ what: /garbles/ }],
      },
    ],
  },
};
