import type { StoredDefinition } from '../../libvirt/definition/definitions.ts';
import {
  type HostThings,
  type Lack,
  lackingCure,
  lackingState,
  lackingThing,
} from '../../libvirt/definition/found-things.ts';
import { type Element, elementsAt } from '../../libvirt/xml/element.ts';
import { type Need, needKey, templateKey } from '../../libvirt/xml/need.ts';
import { neededThings } from '../../libvirt/xml/needed-things.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { type DaemonVersion, isBefore, STARTS_ANEW } from '../../model/libvirt-versions.ts';
import { commandLine, quote, virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, hasMemory, internalDisks, type Snapshot } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { comingAndGoing, definitionDifferences } from '../definition-differences.ts';

/** Rules about whether the VM can be started on this host with the definition that a revert restores. */

/** What these rules need to know. */
export interface StoredDefinitionFacts {
  readonly domain: Domain;
  readonly snapshot: Snapshot;
  readonly daemonVersion: DaemonVersion;
  /** Absent if libvirt stores none, or does not tell. */
  readonly stored?: StoredDefinition | undefined;
  /** The present definitions; absent if libvirt does not tell them. */
  readonly now?: { readonly config: Element | null; readonly live: Element | null };
  /** Which of the things that it needs were found. */
  readonly things?: HostThings;
  /** The state that the VM will be in after the revert; absent: that of the snapshot. */
  readonly end?: string;
  readonly resetNvram?: boolean;
  /** Whether virsh is called with `--force`. */
  readonly force?: boolean;
}

export const STORED_DEFINITION_RULES: readonly Rule<StoredDefinitionFacts>[] = [
  {
    id: 'missing-thing',
    hazards: [44],
    severity: 'error',
    find: (facts) => {
      const harm = isActive(facts.domain.state)
        ? 'libvirt would stop the running guest and then fail'
        : 'libvirt could not start the VM';
      return lacksAtStart(facts)
        .filter(({ found }) => found.is !== 'template')
        .map((lack) => toFinding(facts, lack, harm));
    },
  },
  {
    id: 'missing-thing-later',
    hazards: [44],
    severity: 'overridable',
    find: (facts) => {
      const atStart = new Set(lacksAtStart(facts).map(({ need }) => needKey(need)));
      return lacksLater(facts)
        .filter(({ found, need }) => found.is !== 'template' && !atStart.has(needKey(need)))
        .map((lack) => toFinding(facts, lack, 'after the revert the VM could not be started'));
    },
  },
  {
    id: 'missing-nvram',
    hazards: [44],
    severity: 'overridable',
    find: (facts) => {
      const lacks = [...lacksAtStart(facts), ...lacksLater(facts)].filter(
        ({ found }) => found.is === 'template',
      );
      return [...new Map(lacks.map((lack) => [needKey(lack.need), lack])).values()].map((lack) => ({
        what: `${asStored(facts, lack)}; libvirt would create a new one from its template, without the boot entries and keys of the VM`,
        hint: `restore ${lack.need.name}, or use --force`,
      }));
    },
  },
  {
    id: 'no-nvram-template',
    hazards: [44],
    severity: 'error',
    find: ({ domain, snapshot, stored, things, resetNvram }) =>
      !resetNvram || !stored
        ? []
        : storedNeeds(snapshot, stored)
            .filter((need) => things?.get(templateKey(need))?.is === 'missing')
            .map(({ name }) => ({
              what: `libvirt knows no template for the NVRAM ${name}, so it cannot be recreated: ${isActive(domain.state) ? 'libvirt would stop the running guest and then fail' : 'the revert would fail'}`,
              hint: 'leave out --reset-nvram',
            })),
  },
  {
    id: 'server-not-checked',
    hazards: [44],
    severity: 'warning',
    find: (facts) => {
      if (!isActive(facts.domain.state)) return [];
      return uncheckedServers(facts).map((need) => ({
        what: `the definition stored with ${inText(facts.snapshot.name)} needs ${lackingThing({ need, found: { is: 'missing' } })}, and kvmsnap cannot check whether that server answers; if it does not, the running VM stops, and its memory is lost`,
      }));
    },
  },
  {
    id: 'null-interface',
    hazards: [55],
    severity: 'error',
    find: ({ stored, snapshot, domain }) =>
      [stored?.domain, stored?.inactive].some(
        (definition) =>
          definition &&
          elementsAt(definition, 'devices/interface').some(({ attributes }) => attributes['type'] === 'null'),
      )
        ? [
            {
              what: `the definition stored with ${inText(snapshot.name)} has a network interface of type 'null', which libvirt cannot start: 9.0 crashes, other versions stop a running VM, and its memory is lost`,
              hint: "give the interface another type, such as 'user', in the definition stored with the snapshot",
              command: `virsh snapshot-edit ${virshWord(domain)} --snapshotname ${quote(snapshot.name)}`,
            },
          ]
        : [],
  },
];

/** What the definition that a revert restores needs, except the disks, whose images other rules inspect. */
export function storedNeeds(snapshot: Snapshot, { domain, inactive }: StoredDefinition): Need[] {
  const differently = disksOf(snapshot);
  return [domain, ...(inactive ? [inactive] : [])].flatMap((each) => neededThings(each, differently));
}

/** The disks that contain a part of the snapshot, which other rules inspect. */
const disksOf = ({ disks }: Snapshot): ReadonlySet<string> => new Set(disks.map(({ target }) => target));

/** Whether libvirt starts a new QEMU, with the stored definition. */
export function startsQemu({ domain, snapshot, daemonVersion, end, force }: StoredDefinitionFacts): boolean {
  const state = end ?? (snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state);
  if (state === 'shutoff') return false;
  return (
    !isActive(domain.state) || !hasMemory(snapshot) || !isBefore(daemonVersion, STARTS_ANEW) || force === true
  );
}

function lacksAtStart(facts: StoredDefinitionFacts): Lack[] {
  const { stored, snapshot } = facts;
  if (!stored || !startsQemu(facts)) return [];
  const warm = hasMemory(snapshot);
  return lacksOf(facts, stored.domain).filter(({ need }) => !(warm && need.onlyCold));
}

const lacksLater = (facts: StoredDefinitionFacts): Lack[] =>
  facts.stored
    ? lacksOf(facts, facts.stored.inactive ?? facts.stored.domain).filter(
        ({ need, found }) => !need.onlyNow && !(found.is === 'missing' && found.onlyNow),
      )
    : [];

/** Servers of other hosts that QEMU connects to at the start, except those of disks that the VM is using now. */
function uncheckedServers(facts: StoredDefinitionFacts): Need[] {
  const { stored, snapshot, things = new Map(), now } = facts;
  if (!stored || !startsQemu(facts)) return [];
  const inUse = new Set(
    (now?.live ? neededThings(now.live, new Set()) : [])
      .filter(({ role }) => role.startsWith('server of'))
      .map(needKey),
  );
  return neededThings(stored.domain, disksOf(snapshot)).filter(
    (need) =>
      need.kind === 'server' && things.get(needKey(need))?.is === 'unknown' && !inUse.has(needKey(need)),
  );
}

function lacksOf({ snapshot, things = new Map() }: StoredDefinitionFacts, definition: Element): Lack[] {
  return lacksIn(neededThings(definition, disksOf(snapshot)), things);
}

function lacksIn(needs: readonly Need[], things: HostThings): Lack[] {
  return needs.flatMap((need) => {
    const found = things.get(needKey(need));
    return !found || found.is === 'there' || found.is === 'unknown' ? [] : [{ need, found }];
  });
}

const asStored = ({ snapshot }: StoredDefinitionFacts, lack: Lack): string =>
  `the definition stored with ${inText(snapshot.name)} needs ${lackingThing(lack)}, which ${lackingState(lack)}`;

/**
 * What the revert changes in the definition, in words: in the one of the next start, and for a running VM the devices that
 * were plugged in or unplugged since. Null if a definition is unknown.
 */
export function storedDifferences({ stored, now, snapshot, domain }: StoredDefinitionFacts): string[] | null {
  if (!stored || !now?.config) return null;
  const disks = {
    rolledBack: new Set(internalDisks(snapshot).map(({ target }) => target)),
    overlaid: new Set(externalDisks(snapshot).map(({ target }) => target)),
  };
  return [
    ...new Set([
      ...definitionDifferences(now.config, stored.inactive ?? stored.domain, disks),
      ...(isActive(domain.state) && now.live ? comingAndGoing(now.live, stored.domain, disks) : []),
    ]),
  ];
}

/** What is missing to start a VM that is off with its present definition. */
export const lacksToStart = (definition: Element, things: HostThings): Finding[] =>
  lacksIn(neededThings(definition, new Set()), things)
    .filter(({ found }) => found.is !== 'template')
    .map((lack) => ({
      what: `the VM cannot be started: its definition needs ${lackingThing(lack)}, which ${lackingState(lack)}`,
      ...cureOf(lack),
    }));

function cureOf(lack: Lack): Pick<Finding, 'hint' | 'command'> {
  const { hint, command: [tool, ...words] = [] } = lackingCure(lack);
  return tool === undefined ? { hint } : { hint, command: commandLine(tool, words) };
}

const toFinding = (facts: StoredDefinitionFacts, lack: Lack, harm: string): Finding => ({
  what: `${asStored(facts, lack)}; ${harm}`,
  ...cureOf(lack),
});
