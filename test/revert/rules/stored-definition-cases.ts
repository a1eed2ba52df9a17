// Cases of the rules about the definition that a snapshot stores.

import type { Found } from '../../../src/libvirt/definition/found-things.ts';
import { parseElement } from '../../../src/libvirt/xml/xml.ts';
import type { Domain } from '../../../src/model/domain.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { seen, tag, usedBy } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';

type Reverting = (changes?: Partial<RevertFacts>) => RevertFacts;

const MEMORY = { location: 'internal', file: null };
const ISO =
  "<disk type='file' device='cdrom'><source file='/iso/gone.iso'/><target dev='hdc' bus='ide'/></disk>";
const ON_PORT = "<graphics type='vnc' port='5977' autoport='no'/>";
const CONNECTS = "<serial type='tcp'><source mode='connect' host='192.0.2.9' service='4555'/></serial>";
const SERVER = 'server:/192.0.2.9 4555';
const ON_NBD =
  "<disk type='network'><source protocol='nbd'><host name='192.0.2.9'/></source><target dev='vdb'/></disk>";
const NEW_DAEMON = 9_000_000;
const OLD_DAEMON = 7_000_000;

const stored = (devices: string, inactive = devices) => ({
  domain: parseElement(`<domain><devices>${devices}</devices></domain>`),
  inactive: parseElement(`<domain><devices>${inactive}</devices></domain>`),
});

/** Of one kind: a definition that needs it, by its key, and what was found of it. */
const lacking = (key: string, found: Found, devices = ISO) => ({
  stored: stored(devices),
  things: new Map([[key, found]]),
});

const isoGone = lacking('file://iso/gone.iso', { is: 'missing' });

/** The cases, told from facts about a revert for which all is well. */
export function storedDefinitionCases(
  reverting: Reverting,
  running: () => Domain,
): Readonly<Record<string, RuleCases<RevertFacts>>> {
  const { snapshot: off } = reverting();
  const snapshot = { ...off, state: 'running', memory: MEMORY };
  const warm = (changes: Partial<RevertFacts>) =>
    reverting({ domain: running(), snapshot, daemonVersion: NEW_DAEMON, ...changes });
  const nvram = lacking('file://vm/VARS.fd', { is: 'template' });
  const withNvram = {
    ...nvram,
    stored: {
      domain: parseElement('<domain><os><nvram>/vm/VARS.fd</nvram></os></domain>'),
      inactive: null,
    },
  };
  const withMedium = {
    stored: stored(ISO),
    snapshot: { ...snapshot, otherDisks: [{ target: 'hdc', source: '/iso/gone.iso' }] },
  };
  const noTemplate = new Map([['template of file://vm/VARS.fd', { is: 'missing' as const }]]);
  return {
    'missing-thing': {
      severity: 'error',
      cases: [
        { says: 'all is there', facts: warm({ stored: stored(ISO), things: new Map() }), finds: [] },
        {
          says: 'an ISO is gone, and a guest runs',
          facts: warm(isoGone),
          finds: [
            {
              what: /needs \/iso\/gone.iso \(medium of hdc\), which does not exist; libvirt would stop the running guest/,
              hint: /put \/iso\/gone.iso back/,
            },
          ],
        },
        {
          says: 'an old libvirtd loads the memory into the QEMU that runs',
          facts: warm({ ...isoGone, daemonVersion: OLD_DAEMON }),
          finds: [],
        },
        {
          says: 'but not by force',
          facts: warm({ ...isoGone, daemonVersion: OLD_DAEMON, force: true }),
          finds: [{ what: /stop the running guest/ }],
        },
        {
          says: 'the VM is off',
          facts: warm({ ...isoGone, domain: reverting().domain }),
          finds: [{ what: /libvirt could not start the VM$/ }],
        },
        {
          says: 'it stays off',
          facts: reverting(isoGone),
          finds: [],
        },
        {
          says: 'it stays off, but is told to run',
          facts: reverting({ ...isoGone, end: 'running' }),
          finds: [{ what: /could not start/ }],
        },
        {
          says: 'a port is taken',
          facts: warm(lacking('port:/127.0.0.1 5977', { is: 'missing' }, ON_PORT)),
          finds: [
            {
              what: /port 5977 of 127\.0\.0\.1 \(display\), which another program already listens on/,
              command: "ss -ltnp 'sport = :5977'",
            },
          ],
        },
        {
          says: 'a network is not active',
          facts: warm(
            lacking(
              'network:/lan',
              { is: 'inactive' },
              "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/></interface>",
            ),
          ),
          finds: [
            {
              what: /network lan \(network interface 52:54:00:00:00:01\), which is not active/,
              command: 'virsh net-start lan',
            },
          ],
        },
      ],
    },
    'missing-thing-later': {
      severity: 'overridable',
      cases: [
        {
          says: 'a port that is taken now may be free at the next start',
          facts: reverting(lacking('port:/127.0.0.1 5977', { is: 'missing' }, ON_PORT)),
          finds: [],
        },
        {
          says: 'a program that does not listen now may do so at the next start',
          facts: reverting(
            lacking(
              'socket://s',
              { is: 'missing', onlyNow: true },
              "<serial type='unix'><source mode='connect' path='/s'/></serial>",
            ),
          ),
          finds: [],
        },
        { says: 'told already', facts: warm(isoGone), finds: [] },
        {
          says: 'the VM stays off',
          facts: reverting(isoGone),
          finds: [{ what: /after the revert the VM could not be started/ }],
        },
        {
          says: 'a medium that only a cold start needs',
          facts: warm({
            ...isoGone,
            stored: stored(ISO.replace('/>', " startupPolicy='requisite'/>")),
          }),
          finds: [{ what: /after the revert the VM could not be started/ }],
        },
        {
          says: 'a medium that no start needs',
          facts: warm({
            ...isoGone,
            stored: stored(ISO.replace('/>', " startupPolicy='optional'/>")),
          }),
          finds: [],
        },
      ],
    },
    'missing-nvram': {
      severity: 'overridable',
      cases: [
        {
          says: 'libvirt would make one from the template',
          facts: warm(withNvram),
          finds: [{ what: /VARS.fd \(NVRAM\), which does not exist; libvirt would create a new one/ }],
        },
        {
          says: 'there is no template',
          facts: warm({ ...withNvram, things: new Map([['file://vm/VARS.fd', { is: 'missing' }]]) }),
          finds: [],
        },
      ],
    },
    'no-nvram-template': {
      severity: 'error',
      cases: [
        {
          says: 'libvirt knows no template',
          facts: warm({ ...withNvram, resetNvram: true, things: noTemplate }),
          finds: [
            { what: /knows no template for the NVRAM \/vm\/VARS.fd/, hint: /^leave out --reset-nvram$/ },
          ],
        },
        { says: 'the NVRAM is kept', facts: warm({ ...withNvram, things: noTemplate }), finds: [] },
        { says: 'there is a template', facts: warm({ ...withNvram, resetNvram: true }), finds: [] },
      ],
    },
    'server-not-checked': {
      severity: 'warning',
      cases: [
        {
          says: 'a server of another host',
          facts: warm(lacking(SERVER, { is: 'unknown' }, CONNECTS)),
          finds: [
            {
              what: /needs port 4555 of 192\.0\.2\.9 \(serial device\), and kvmsnap cannot check whether that server answers/,
            },
          ],
        },
        { says: 'it listens', facts: warm(lacking(SERVER, { is: 'there' }, CONNECTS)), finds: [] },
        {
          says: 'nothing is lost',
          facts: reverting(lacking(SERVER, { is: 'unknown' }, CONNECTS)),
          finds: [],
        },
        {
          says: 'a disk of it is in use',
          facts: warm({
            ...lacking('server:/192.0.2.9 10809', { is: 'unknown' }, ON_NBD),
            now: { config: null, live: stored(ON_NBD).domain },
          }),
          finds: [],
        },
      ],
    },
    'null-interface': {
      severity: 'error',
      cases: [
        { says: 'another', facts: reverting({ stored: stored("<interface type='user'/>") }), finds: [] },
        {
          says: 'in the definition of the next start',
          facts: reverting({ stored: stored('', "<interface type='null'/>") }),
          finds: [{ what: /type 'null'/, command: 'virsh snapshot-edit centos7-1 --snapshotname s1' }],
        },
      ],
    },
    'file-in-use': {
      severity: 'error',
      cases: [
        {
          says: 'another VM writes to the medium, and a guest runs',
          facts: warm({ ...withMedium, users: usedBy('/iso/gone.iso', { open: true, writes: true }) }),
          finds: [
            {
              what: /^disk hdc of the definition stored with s1 is \/iso\/gone\.iso, which QEMU cannot open now, because VM web-2 .*; libvirt would stop the running guest and then fail$/,
              command: 'virsh shutdown web-2',
            },
          ],
        },
        {
          says: 'another VM writes to the file below an image of the snapshot',
          facts: warm({
            stored: stored(''),
            images: new Map([['vda', seen({ tags: [tag('s1')] }, { path: '/vm/golden' })]]),
            users: usedBy('/vm/golden', { open: true, writes: true }),
          }),
          finds: [{ what: /^the backing file of disk vda .* is \/vm\/golden, which QEMU cannot open now/ }],
        },
        {
          says: 'another VM only reads it too',
          facts: warm({ ...withMedium, users: usedBy('/iso/gone.iso', { open: true, writes: false }) }),
          finds: [],
        },
        {
          says: 'the other VM is off',
          facts: warm({ ...withMedium, users: usedBy('/iso/gone.iso', {}) }),
          finds: [],
        },
        {
          says: 'the VM is off afterwards, and nothing is opened',
          facts: reverting({
            ...withMedium,
            snapshot: { ...withMedium.snapshot, state: 'shutoff', memory: off.memory },
            users: usedBy('/iso/gone.iso', { open: true, writes: true }),
          }),
          finds: [],
        },
        {
          says: 'the NVRAM is that of a running VM',
          facts: reverting({
            snapshot,
            ...withNvram,
            users: usedBy('/vm/VARS.fd', { target: null, open: true, writes: true }),
          }),
          finds: [{ what: /^the NVRAM of the definition .*; libvirt could not start the VM$/ }],
        },
      ],
    },
  };
}
