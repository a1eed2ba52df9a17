// What libvirt takes for a VM and for a snapshot, however odd: all of it is read, and to the letter.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { scratch, virsh } from '../lab/lab.ts';
import { allCases } from '../lab/share.ts';
import { fitting } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';
import { badEnding, runSmall, runsOr } from './bad-ending.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const escaped = (text: string): string =>
  text.replace(/[<>&'"\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);

/** Texts that look like XML, like the end of it, or like nothing that a parser or a terminal wants. */
const TEXTS: Readonly<Record<string, string>> = {
  'an element': "<name>x</name></domainsnapshot><domain type='kvm'>",
  'entities of entities': '&amp;lt;name&amp;gt; &#38;#x41; &unknown;',
  'a section and a comment': '<![CDATA[ ]]> --> <!-- ]]> <?xml version="9"?>',
  'blanks at its ends': '  \t\n two lines \n\n',
  'other scripts': '升级前 🙂 ‮ txet ‬ é é \u{10ffff}',
  'markers of ours': '@@0-1\nerror: not one\nhint: none\n',
  'a long text': '快&'.repeat(25_000),
};

/** As `-1` it is read as a time of 1969; beyond the calendar, as its end. */
const TIMES = { '-1': '1969-12-31', '0': '1970-01-01', '9223372036854775807': '9999-1' };

const METADATA = `
  <title>${escaped(TEXTS['an element'] ?? '')}</title>
  <description>${escaped(Object.values(TEXTS).join('\n'))}</description>
  <metadata>
    <a:devices xmlns:a='urn:a'><a:disk><a:source file='/no'/></a:disk></a:devices>
    <b:m xmlns:b='urn:b'><domain type='x'><name>no</name><uuid/></domain><inactiveDomain/><cookie/>
      <devices><disk type='file'><source file='/no'/><target dev='vda'/></disk></devices>
      <domainsnapshot><name>no</name></domainsnapshot></b:m>
  </metadata>`;

interface Given {
  readonly name: string;
  readonly description?: string;
  readonly time?: string;
  readonly parent?: string;
}

/** Tells libvirt of snapshots, parents first, as `--redefine` takes them: in one process. */
function redefine(vm: Vm, all: readonly Given[]): void {
  const definition = virsh('dumpxml', '--inactive', '--domain', vm.uuid);
  const commands = all.map(({ name, description, time = '1795000000', parent }, i) => {
    const file = join(scratch, `s-${i}.xml`);
    writeFileSync(
      file,
      `<domainsnapshot><name>${escaped(name)}</name>
      ${description === undefined ? '' : `<description>${escaped(description)}</description>`}
      <state>shutoff</state><creationTime>${time}</creationTime>
      ${parent === undefined ? '' : `<parent><name>${escaped(parent)}</name></parent>`}
      <disks><disk name='vda' snapshot='internal'/></disks>${definition}</domainsnapshot>`,
    );
    return `snapshot-create ${vm.uuid} --xmlfile ${file} --redefine`;
  });
  for (let from = 0; from < commands.length; from += 500) virsh(commands.slice(from, from + 500).join('; '));
}

function oddVm(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  const file = join(scratch, `${name}.xml`);
  const xml = virsh('dumpxml', '--inactive', '--domain', vm.uuid);
  writeFileSync(file, xml.replace('</uuid>', `</uuid>${METADATA}`));
  virsh('define', file);
  return vm;
}

/** Runs it for a person and for a script; returns the JSON. */
async function runs(code: number, ...args: readonly string[]): Promise<string> {
  const results = [];
  for (const form of ['table', 'json']) results.push(await runSmall(...args, '-o', form));
  expect({ args, wrong: results.flatMap(badEnding), codes: results.map((result) => result.code) }).toEqual({
    args,
    wrong: [],
    codes: results.map(() => code),
  });
  return results.at(-1)?.stdout ?? '';
}

describe('what libvirt takes', () => {
  test('texts and times of every kind', { timeout: 600_000 }, async () => {
    const vm = oddVm('odd');
    const texts = Object.entries(TEXTS).map(([name, description]) => ({ name, description }));
    const times = Object.keys(TIMES).map((time) => ({ name: `at ${time}`, time }));
    redefine(vm, [...texts, ...times]);
    const { domains } = fitting('list', JSON.parse(await runs(0, 'list', 'odd')));
    const read = new Map(domains[0]?.snapshots.map((snapshot) => [snapshot.name, snapshot]));
    for (const { name, description } of texts) expect(read.get(name)?.description).toBe(description);
    for (const [time, date] of Object.entries(TIMES))
      expect(new Date(read.get(`at ${time}`)?.createdAt ?? '').toISOString()).toMatch(new RegExp(`^${date}`));
    await runs(0, 'list', 'odd', '--tree');
    await runs(0, 'info', 'odd', 'a long text');
    await runs(5, 'check', 'odd');
  });

  const count = runsOr(allCases ? 1_100 : 300);
  test(`a chain of ${count}`, { timeout: 600_000 }, async () => {
    const vm = defineVm({ name: 'deep', disks: [{ size: '8M' }] });
    const chain = Array.from({ length: count }, (_, i) => ({
      name: `s${i}`,
      // seven of each second: the order is that of the parents
      time: String(1_795_000_000 + Math.floor(i / 7)),
      ...(i > 0 ? { parent: `s${i - 1}` } : {}),
    }));
    redefine(vm, chain);
    const { domains } = fitting('list', JSON.parse(await runs(0, 'list', 'deep')));
    expect(domains[0]?.snapshots.map(({ name, parent }) => ({ name, parent }))).toEqual(
      chain.map(({ name, parent = null }) => ({ name, parent })),
    );
    await runs(0, 'list', 'deep', '--tree');
    await runs(5, 'check', 'deep');
    await runs(0, 'prune', 'deep', '--match', '*', '--keep-last', '1', '--dry-run');
    await runs(0, 'delete', 'deep', 's1', '--children', '--dry-run');
  });
});
