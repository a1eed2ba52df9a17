import { CLONE_RULES, type CloneRuleFacts } from '../../src/clone/rules.ts';
import { parseElement } from '../../src/libvirt/xml/xml.ts';
import { describeCases, type RuleCases } from '../rule-cases.ts';

const disk = (target: string, more = '', device = 'disk') =>
  `<disk type='file' device='${device}'><source file='/vm/${target}'/><target dev='${target}'/>${more}</disk>`;

/** A VM with the disk vda, which is copied, and these devices. */
const facts = (devices = '', more = ''): CloneRuleFacts => ({
  vm: 'web',
  stored: parseElement(
    `<domain xmlns:qemu='x'><name>web</name><devices>${disk('vda')}${devices}</devices>${more}</domain>`,
  ),
  targets: ['vda'],
});

const NONE = { says: 'none', facts: facts(), finds: [] };

const TABLE: Readonly<Record<string, RuleCases<CloneRuleFacts>>> = {
  'disk-not-copied': {
    severity: 'error',
    cases: [
      {
        says: 'others that nobody writes to, or without a medium',
        facts: facts(
          `${disk('sda', '', 'cdrom')}${disk('vdb', '<readonly/>')}<disk device='floppy'><target dev='fda'/></disk>`,
        ),
        finds: [],
      },
      {
        says: 'another',
        facts: facts(disk('vdb')),
        finds: [{ what: /disk vdb is not part of the snapshot/ }],
      },
      {
        says: 'a floppy with a medium',
        facts: facts(disk('fda', '', 'floppy')),
        finds: [{ what: /disk fda is not part/ }],
      },
    ],
  },
  'command-line-drives': {
    severity: 'error',
    cases: [
      {
        says: 'options without a file',
        facts: facts('', "<qemu:commandline><qemu:arg value='-no-hpet'/></qemu:commandline>"),
        finds: [],
      },
      {
        says: 'a drive',
        facts: facts(
          '',
          "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/vm/x.raw,format=raw'/></qemu:commandline>",
        ),
        finds: [{ what: /options with files to QEMU/ }],
      },
    ],
  },
  'memory-file': {
    severity: 'error',
    cases: [
      { says: 'memory that can be added', facts: facts("<memory model='dimm'/>"), finds: [] },
      { says: 'in a file', facts: facts("<memory model='nvdimm'/>"), finds: [{ what: /nvdimm keeps/ }] },
    ],
  },
  'null-network': {
    severity: 'error',
    cases: [
      { says: 'a network', facts: facts("<interface type='network'/>"), finds: [] },
      { says: 'none', facts: facts("<interface type='null'/>"), finds: [{ what: /crashes/ }] },
    ],
  },
  shared: {
    severity: 'warning',
    cases: [
      NONE,
      {
        says: 'the port of a server elsewhere',
        facts: facts("<serial type='tcp'><source mode='connect' host='10.0.0.1' service='4555'/></serial>"),
        finds: [],
      },
      {
        says: 'devices, a TPM, a port and a directory of the host',
        facts: facts(
          `<hostdev/><tpm><backend type='passthrough'/></tpm><filesystem/>
             <serial type='tcp'><source mode='bind' service='4555'/></serial>
             <console type='tcp'><source mode='bind' service='4555'/></console>`,
        ),
        finds: [
          { what: /the same host devices/ },
          { what: /TPM of the host/ },
          { what: /the port 4555 of the host/ },
          { what: /shares directories/ },
        ],
      },
    ],
  },
  'empty-tpm': {
    severity: 'warning',
    cases: [
      NONE,
      {
        says: 'an emulated one',
        facts: facts("<tpm><backend type='emulator'/></tpm>"),
        finds: [{ what: /TPM of the clone is empty/ }],
      },
    ],
  },
};

describeCases('before a clone', CLONE_RULES, TABLE, [facts()]);
