// How hosts are named: node sets, the hosts file, lists and Ansible's inventory, and commands for another host.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostCommand, hostMessage } from '../../src/hosts/host-command.ts';
import { isAddress, parseHostList, parseHostsFile } from '../../src/hosts/hosts-file.ts';
import { expandNodeSet, foldNames, splitSets } from '../../src/model/node-set.ts';

describe('node sets', () => {
  test.each([
    ['kvm1', ['kvm1']],
    ['kvm[1-3]', ['kvm1', 'kvm2', 'kvm3']],
    ['kvm[08-10,60]', ['kvm08', 'kvm09', 'kvm10', 'kvm60']],
    ['r[1-2]n[1-2].lan', ['r1n1.lan', 'r1n2.lan', 'r2n1.lan', 'r2n2.lan']],
  ])('%s', (set, names) => expect(expandNodeSet(set)).toEqual(names));

  test.each(['kvm[1-3', 'kvm1]', 'kvm[3-1]', 'kvm[a-c]', 'kvm[1-9999]', 'r[1-999]n[1-999]', 'kvm[]'])(
    '%s is refused',
    (set) => expect(expandNodeSet(set)).toHaveProperty('problem'),
  );

  test('lists are split between sets only', () => {
    expect(splitSets('kvm[1,3],web, @prod,')).toEqual(['kvm[1,3]', 'web', '@prod']);
  });

  test.each([
    [['kvm07', 'kvm50'], 'kvm[07,50]'],
    [['kvm01', 'kvm02', 'kvm03', 'kvm08', 'web'], 'kvm[01-03,08],web'],
    [['a9', 'a10', 'a11'], 'a[9-11]'],
    [['admin@kvm1.lan'], 'admin@kvm1.lan'],
  ])('%j folded', (names, text) => expect(foldNames(names)).toBe(text));

  test('what was folded can be expanded again', () => {
    const name = fc
      .tuple(fc.constantFrom('kvm', 'r1n', 'x.'), fc.stringMatching(/^\d{1,3}$/))
      .map(([a, b]) => a + b);
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 30 }), (names) => {
        const again = splitSets(foldNames(names)).flatMap((set) => expandNodeSet(set) as readonly string[]);
        expect([...again].sort()).toEqual([...names].sort());
      }),
    );
  });
});

describe('the hosts file', () => {
  test('names, destinations, sudo and groups', () => {
    const text = '# all\nkvm[1-2] ssh=admin@%.lan sudo @prod @all # two\n\nlab\n';
    const of = (n: number) => ({
      name: `kvm${n}`,
      address: `admin@kvm${n}.lan`,
      sudo: true,
      groups: ['prod', 'all'],
    });
    expect(parseHostsFile(text)).toEqual([
      of(1),
      of(2),
      { name: 'lab', address: 'lab', sudo: false, groups: [] },
    ]);
  });

  test.each([
    ['kvm1 port=22', 1],
    ['\nkvm1 ssh=-oProxyCommand=x', 2],
    ['-oProxyCommand=x', 1],
    ['kvm[2-1]', 1],
    ['kvm1 ssh=a;b', 1],
  ])('%j is refused with its line', (text, number) => {
    expect(parseHostsFile(text)).toMatchObject({ problem: expect.any(String), number });
  });

  test('a destination never begins as an option does', () => {
    expect(['-x', '', 'a b', 'a;b', '$(x)', 'a/b', 'ssh://x'].filter(isAddress)).toEqual([]);
    expect(['kvm1', 'admin@kvm1.lan', '10.0.0.1', '_x'].every(isAddress)).toBe(true);
  });
});

describe('lists of hosts', () => {
  test('a name a line', () => {
    expect(parseHostList('kvm1\n # none\nkvm2 # two\n')).toEqual([
      { name: 'kvm1', address: 'kvm1' },
      { name: 'kvm2', address: 'kvm2' },
    ]);
  });

  test("Ansible's inventory", () => {
    const inventory = {
      _meta: { hostvars: { kvm1: { ansible_host: '10.0.0.1', ansible_user: 'admin' }, kvm2: {} } },
      all: { children: ['prod'] },
      prod: { hosts: ['kvm1', 'kvm2', 'kvm3'] },
    };
    expect(parseHostList(JSON.stringify(inventory))).toEqual([
      { name: 'kvm1', address: 'admin@10.0.0.1' },
      { name: 'kvm2', address: 'kvm2' },
      { name: 'kvm3', address: 'kvm3' },
    ]);
    expect(parseHostList('{"a": ')).toHaveProperty('problem');
    expect(parseHostList('{"a": [1], "b": {"hosts": 3}}')).toEqual([]);
  });
});

test.each([
  ['kvmsnap check web-1 --fix', 'kvmsnap check --host kvm1 web-1 --fix'],
  ['virsh start web-1', "ssh kvm1 'virsh start web-1'"],
  ["qemu-img check '/a b'", `ssh kvm1 'qemu-img check '\\''/a b'\\'''`],
  ['ssh -o BatchMode=yes kvm1 true', 'ssh -o BatchMode=yes kvm1 true'],
  ['/var/lib/libvirt/images/a.qcow2', '/var/lib/libvirt/images/a.qcow2'],
])('%s, for the host', (line, there) =>
  expect(hostCommand(line, { name: 'kvm1', address: 'kvm1', sudo: false })).toBe(there),
);

test('commands for a host with another address, and with sudo', () => {
  const host = { name: 'kvm1', address: 'admin@kvm1.lan', sudo: true };
  expect(hostCommand('kvmsnap check web-1', host)).toBe('kvmsnap check --host kvm1 web-1');
  expect(hostCommand('virsh start web-1', host)).toBe("ssh admin@kvm1.lan 'sudo -n virsh start web-1'");
  expect(hostCommand('printf x | virsh define /dev/stdin', host)).toBe(
    `ssh admin@kvm1.lan 'sudo -n sh -c '\\''printf x | virsh define /dev/stdin'\\'''`,
  );
  expect(hostMessage('error: a\nhint: do\n        1. virsh start a\n  and this', host)).toBe(
    "error: a\nhint: do\n        1. ssh admin@kvm1.lan 'sudo -n virsh start a'\n  and this",
  );
});
