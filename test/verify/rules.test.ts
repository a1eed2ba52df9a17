import { parseElement } from '../../src/libvirt/xml/xml.ts';
import { VERIFY_RULES, type VerifyRuleFacts } from '../../src/verify/rules.ts';
import { describeCases } from '../rule-cases.ts';

const MIB = 2 ** 20;

const stored = (inner: string) => parseElement(`<domain xmlns:qemu='x'><name>web</name>${inner}</domain>`);
const devices = (inner: string) => stored(`<devices>${inner}</devices>`);

/** In an image; 10 MiB. */
const MEMORY = { path: '/vm/a.qcow2', in: { tagId: '1' }, bytes: 10 * MIB, saveFile: '/vm/memory.save' };

const facts = (changes: Partial<VerifyRuleFacts> = {}): VerifyRuleFacts => ({
  ...{ stored: devices(''), resumes: false, memory: null },
  ...{ memoryBytes: 128 * MIB, availableBytes: 128 * MIB },
  room: [{ directory: '/vm', freeBytes: 256 * MIB }],
  ...changes,
});

const resumed = (changes: Partial<VerifyRuleFacts> = {}): VerifyRuleFacts =>
  facts({
    ...{ resumes: true, memory: MEMORY, room: [{ directory: '/vm', freeBytes: 266 * MIB }] },
    ...changes,
  });

const OUTWARD = [
  'hostdev',
  'filesystem',
  'redirdev',
  'smartcard',
  'tpm',
  'shmem',
  'vsock',
  'crypto',
  'pstore',
];

describeCases(
  'before a throw-away VM is started',
  VERIFY_RULES,
  {
    'command-line': {
      severity: 'error',
      cases: [
        { says: 'no option', facts: facts({ stored: stored('<qemu:commandline/>') }), finds: [] },
        {
          says: 'an option',
          facts: facts({
            stored: stored("<qemu:commandline><qemu:arg value='-no-hpet'/></qemu:commandline>"),
          }),
          finds: [{ what: /passes options to QEMU itself/ }],
        },
      ],
    },
    'memory-file': {
      severity: 'error',
      cases: [
        { says: 'memory alone', facts: facts({ stored: devices("<memory model='dimm'/>") }), finds: [] },
        ...['nvdimm', 'virtio-pmem'].map((model) => ({
          says: model,
          facts: facts({ stored: devices(`<memory model='${model}'/>`) }),
          finds: [{ what: /keeps its content in a file/ }],
        })),
      ],
    },
    'no-memory': {
      severity: 'error',
      cases: [
        { says: 'it boots', facts: facts(), finds: [] },
        { says: 'it has some', facts: resumed(), finds: [] },
        {
          says: 'it has none',
          facts: resumed({ memory: null }),
          finds: [{ what: /no saved memory/, hint: /without --memory|leave out --memory/ }],
        },
      ],
    },
    'unknown-memory': {
      severity: 'error',
      cases: [
        { says: 'in an image', facts: resumed(), finds: [] },
        {
          says: 'in a file',
          facts: resumed({ memory: { ...MEMORY, in: { stream: { offset: 92, compression: 0 } } } }),
          finds: [],
        },
        {
          says: 'in a file of another format',
          facts: resumed({ memory: { ...MEMORY, in: { stream: 'it is odd' } } }),
          finds: [{ what: /cannot be used: it is odd/, hint: /leave out --memory/ }],
        },
      ],
    },
    'outward-devices': {
      severity: 'error',
      cases: [
        {
          says: 'a guest that boots finds its hardware missing',
          facts: facts({ stored: devices(OUTWARD.map((name) => `<${name}/>`).join('')) }),
          finds: [],
        },
        {
          says: 'there is no memory to resume',
          facts: resumed({ memory: null, stored: devices(`<${OUTWARD[0]}/>`) }),
          finds: [],
        },
        ...OUTWARD.map((name) => ({
          says: name,
          facts: resumed({ stored: devices(`<${name}/>`) }),
          finds: [{ what: new RegExp(`devices of the host \\(${name}\\)`), hint: /leave out --memory/ }],
        })),
      ],
    },
    memory: {
      severity: 'overridable',
      cases: [
        { says: 'as much as it needs', facts: facts(), finds: [] },
        { says: 'the host does not tell', facts: facts({ availableBytes: null }), finds: [] },
        {
          says: 'too little',
          facts: facts({ availableBytes: 127 * MIB }),
          finds: [{ what: /has 127 MiB of memory left, and the throw-away VM can use 128 MiB/ }],
        },
      ],
    },
    room: {
      severity: 'overridable',
      cases: [
        { says: 'as much as it needs', facts: resumed(), finds: [] },
        { says: 'unknown', facts: facts({ room: [{ directory: '/vm', freeBytes: null }] }), finds: [] },
        {
          says: 'too little in one of two directories',
          facts: facts({
            room: [
              { directory: '/vm', freeBytes: 256 * MIB },
              { directory: '/b', freeBytes: 255 * MIB },
            ],
          }),
          finds: [{ what: /^\/b has 255 MiB .* should have 256 MiB$/ }],
        },
        {
          says: 'too little for the memory',
          facts: resumed({ room: [{ directory: '/vm', freeBytes: 265 * MIB }] }),
          finds: [{ what: /should have 266 MiB/ }],
        },
      ],
    },
  },
  [facts(), resumed()],
);
