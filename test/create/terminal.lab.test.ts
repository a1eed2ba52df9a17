// What create shows on a terminal: whether it worked, in whatever width and locale.
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { onTerminal } from '../lab/terminal.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

describe('on a terminal of 80 columns', () => {
  const shown = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const { screen } = await onTerminal(args, { columns: 80, env }).done;
    const lines = stripVTControlCharacters(screen.slice(screen.lastIndexOf('\r\x1b[K') + 1)).split('\r\n');
    return lines.map((line) => line.replace(/^\[K/, '').trimEnd());
  };

  test('it shows whether it worked, the whole name, and nothing twice', async () => {
    const vm = defineVm({ name: 'customer-4711-production-database', disks: [{ size: '8M' }] });
    const name = 'before-the-upgrade-of-the-database-to-17';
    const lines = await shown(['create-as', vm.name, name]);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    // no room for both beside each other: the VM's name has a line of its own
    expect(lines[2]).toBe(vm.name);
    expect(lines[3]).toMatch(new RegExp(`^ +${name} +[0-9: -]+ +taken$`));
    expect(lines.join(' ').split('taken')).toHaveLength(2);
    expect(lines.join(' ')).not.toContain('complete');
  });

  test('of several VMs one fails: its reason stands in its row and nowhere else', async () => {
    defineVm({ name: 'good', disks: [{ size: '8M' }] });
    defineVm({ name: 'oldbox', disks: [{ size: '8M', format: 'raw' }] });
    const lines = await shown(['create', 'good', 'oldbox', '--label', 'n']);
    const text = lines.join(' ').replace(/ +/g, ' ');
    expect(text.match(/failed: /g)).toHaveLength(1);
    expect(text.match(/internal snapshots need qcow2/g)).toHaveLength(1);
    expect(lines).toContain('1 snapshot taken');
    expect(lines).toContain('error: 1 of 2 VMs failed');
    expect(lines.filter((line) => line.length > 80 && !line.includes('qemu-img convert'))).toEqual([]);
  });

  test.each([
    ['TERM', 'dumb'],
    ['NO_COLOR', '1'],
    ['LC_ALL', 'C'],
  ])('%s=%s: plain ASCII, but for the name', async (variable, value) => {
    const vm = defineVm({ name: 'plain', disks: [{ size: '8M' }] });
    const lines = await shown(['create-as', vm.name, 'naïve'], { [variable]: value });
    if (value === 'dumb') {
      const { screen } = await onTerminal(['create', vm.name], { env: { TERM: 'dumb' } }).done;
      expect(screen).not.toContain('\x1b');
    }
    expect(lines.join('\n').replace('naïve', '')).toMatch(/^[\x20-\x7e\n]*$/);
    expect(lines[1]).toMatch(/^-+ {2}-+/);
  });
});
