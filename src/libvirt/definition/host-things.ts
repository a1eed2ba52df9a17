import { understand } from '../../errors.ts';
import { splitLines } from '../answers.ts';
import type { VirshCommand } from '../batch.ts';
import type { Virsh } from '../virsh.ts';
import { elementsAt } from '../xml/element.ts';
import { type Need, needKey } from '../xml/need.ts';
import { parseElement } from '../xml/xml.ts';
import type { Found } from './found-things.ts';

/** Asks libvirt about the things that a definition needs: networks, pools, volumes, secrets, filters, emulators. */

export interface HostThings {
  /** By `needKey`; a thing that could not be asked for is not in it. */
  readonly found: ReadonlyMap<string, Found>;
  /** By `needKey` of a network, the devices of the host of which it needs at least one. */
  readonly devices: ReadonlyMap<string, readonly string[]>;
  /** Firmware loaders for which libvirt can make an NVRAM. */
  readonly firmware: ReadonlySet<string> | null;
}

/** How each kind is asked for: the command for one thing, and a table that has a header even if it is empty. */
const QUESTIONS: Readonly<
  Partial<Record<Need['kind'], { readonly one: (need: Need) => VirshCommand; readonly table: string }>>
> = {
  network: { one: ({ name }) => ['net-dumpxml', '--network', name], table: 'net-list' },
  pool: { one: ({ name }) => ['pool-dumpxml', '--pool', name], table: 'pool-list' },
  volume: {
    one: ({ name, within = '' }) => ['vol-path', '--pool', within, '--vol', name],
    table: 'pool-list',
  },
  secret: { one: ({ name }) => ['secret-dumpxml', '--secret', name], table: 'secret-list' },
  filter: { one: ({ name }) => ['nwfilter-dumpxml', '--nwfilter', name], table: 'nwfilter-list' },
};

/** Asks in one process, or in none if there is nothing to ask. */
export async function askForThings(virsh: Virsh, needs: readonly Need[]): Promise<HostThings> {
  const singles = needs.filter(({ kind }) => QUESTIONS[kind] !== undefined);
  const emulators = needs.filter(({ kind }) => kind === 'emulator');
  const labels = needs.filter(({ kind }) => kind === 'security');
  const tables = [...new Set(singles.map(({ kind }) => QUESTIONS[kind]?.table ?? ''))];
  const ofHost = labels.length > 0 ? [['capabilities']] : [];
  const commands: VirshCommand[] = [
    ...tables.map((table) => [table]),
    ...singles.map((need) => QUESTIONS[need.kind]?.one(need) ?? []),
    ...ofHost,
    ...emulators.flatMap(capabilitiesCommands),
    ['net-list', '--name'],
    ['pool-list', '--name'],
  ];
  if (singles.length + emulators.length + labels.length === 0)
    return { found: new Map(), devices: new Map(), firmware: null };
  const texts = (await virsh.read(commands)).texts.map((text) => text ?? '');
  const left = [...texts];
  const next = (count: number) => left.splice(0, count);
  const tableTexts = next(tables.length);
  const works = new Set(tables.filter((_, i) => tableTexts[i]?.trim()));
  const answers = new Map(next(singles.length).map((text, i) => [singles[i], text.trim()]));
  const models = securityModels(next(ofHost.length)[0] ?? '');
  const capabilities = next(emulators.length * 3);
  const active = new Map(
    // libvirt 9.0 pads the names of pools with spaces
    (['network', 'pool'] as const).map((kind, i) => [
      kind,
      new Set(splitLines(left[i] ?? '').map((line) => line.trimEnd())),
    ]),
  );
  const asked = singles.filter(({ kind }) => works.has(QUESTIONS[kind]?.table ?? ''));
  const networks = asked.filter((need) => need.kind === 'network' && answers.get(need));
  return {
    found: new Map<string, Found>([
      ...asked.map((need) => [needKey(need), foundThing(need, Boolean(answers.get(need)), active)] as const),
      ...emulators.flatMap((need, i) => ofEmulator(needs, need, capabilities.slice(i * 3, i * 3 + 3))),
      ...(models ? labels : []).map(
        (need) => [needKey(need), { is: models?.has(need.name) ? 'there' : 'missing' }] as const,
      ),
    ]),
    devices: new Map(networks.map((need) => [needKey(need), devicesOf(answers.get(need) ?? '')])),
    firmware: capabilities.some((text) => text !== '') ? new Set(capabilities.flatMap(loadersIn)) : null,
  };
}

/** The answers for an emulator, and for each feature that it must offer. */
function ofEmulator(needs: readonly Need[], emulator: Need, texts: readonly string[]): [string, Found][] {
  const offered = offers(texts[0] ?? '');
  return [
    [needKey(emulator), judgeEmulator(emulator, texts)],
    ...needs
      .filter(({ kind, within }) => kind === 'feature' && within === emulator.name)
      .map((feature): [string, Found] => [needKey(feature), offered(feature.name)]),
  ];
}

function foundThing(
  { kind, name, within }: Need,
  isKnown: boolean,
  active: ReadonlyMap<string, ReadonlySet<string>>,
): Found {
  // the volumes of an inactive pool are unknown; the pool itself is reported
  if (kind === 'volume' && !active.get('pool')?.has((within ?? '').trimEnd())) return { is: 'unknown' };
  if (!isKnown) return { is: 'missing' };
  return active.get(kind)?.has(name.trimEnd()) === false ? { is: 'inactive' } : { is: 'there' };
}

/** The host's devices that a network uses: a bridge, or the devices for macvtap, of which one is chosen. */
function devicesOf(xml: string): string[] {
  const network = understand('virsh about a network', () => parseElement(xml));
  const [forward] = elementsAt(network, 'forward');
  const mode = forward?.attributes['mode'] ?? '';
  if (!forward || !['bridge', 'private', 'vepa', 'passthrough'].includes(mode)) return [];
  if (elementsAt(network, 'virtualport').length > 0) return [];
  const bridges = elementsAt(network, 'bridge').flatMap(({ attributes: { name } }) => name ?? []);
  if (bridges.length > 0) return bridges;
  const named = [forward, ...elementsAt(forward, 'interface')].flatMap(
    ({ attributes: { dev } }) => dev ?? [],
  );
  return [...new Set(named)];
}

/**
 * The questions with all words, without the kind of virtualization, and with the emulator only. The first one that
 * works shows which word is wrong.
 */
function capabilitiesCommands({ name }: Need): VirshCommand[] {
  const [emulator = '', arch = '', machineType = '', type = ''] = name.split('\n');
  const option = (flag: string, value: string) => (value === '' ? [] : [flag, value]);
  const words = [...option('--emulatorbin', emulator), ...option('--arch', arch)];
  const command = (...more: string[]) => ['domcapabilities', ...words, ...more];
  return [
    command(...option('--machine', machineType), ...option('--virttype', type)),
    command(...option('--machine', machineType)),
    command(),
  ];
}

function judgeEmulator({ name }: Need, texts: readonly string[]): Found {
  const [emulator = '', , machineType = '', type = ''] = name.split('\n');
  const [all = false, withVm = false, alone = false] = texts.map((text) => text.trim() !== '');
  const program = emulator || 'the emulator of this host';
  if (all) return { is: 'there' };
  if (withVm) return { is: 'missing', detail: `cannot run it: ${program} does not offer '${type}' here` };
  if (alone)
    return { is: 'missing', detail: `cannot run it: ${program} has no machine type '${machineType}'` };
  // the file of the emulator is looked for separately
  return { is: 'unknown' };
}

/** Looks for a feature such as `graphics type spice` in an answer of `domcapabilities`, which may be too old to list it. */
function offers(text: string): (feature: string) => Found {
  if (text.trim() === '') return () => ({ is: 'unknown' });
  const capabilities = understand('virsh about an emulator', () => parseElement(text));
  return (feature) => {
    const [device = '', list, value] = feature.split(' ');
    const values = elementsAt(capabilities, `devices/${device}/enum`)
      .filter(({ attributes }) => attributes['name'] === list)
      .flatMap((each) => elementsAt(each, 'value').map(({ text: offered }) => offered));
    if (values.length === 0) return { is: 'unknown' };
    return { is: values.includes(value ?? '') ? 'there' : 'missing' };
  };
}

/** `<host><secmodel><model>NAME</model>` of `capabilities`; null if libvirt did not answer. */
function securityModels(text: string): ReadonlySet<string> | null {
  if (text.trim() === '') return null;
  const capabilities = understand('virsh about the host', () => parseElement(text));
  return new Set(elementsAt(capabilities, 'host/secmodel/model').map(({ text: model }) => model));
}

/** The values of `<os><loader><value>PATH</value>` in the capabilities. */
function loadersIn(xml: string): string[] {
  if (xml.trim() === '') return [];
  const capabilities = understand('virsh about an emulator', () => parseElement(xml));
  return elementsAt(capabilities, 'os/loader/value').map(({ text }) => text);
}
