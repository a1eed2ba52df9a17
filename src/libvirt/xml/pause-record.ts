import type { PauseRecord } from '../../model/domain.ts';
import { escapeText } from './xml.ts';

/**
 * The record of a pause in the `<metadata>` of a running VM: `virsh metadata --live`, which ends with its QEMU. A snapshot that is taken
 * meanwhile has it in its stored definition, from which `withoutPauseRecord` removes it.
 */

/** The namespace and the prefix by which libvirt keeps it apart from the metadata of others. */
export const PAUSE_NAMESPACE = 'https://kvmsnap/pause';
export const PAUSE_PREFIX = 'kvmsnap';

/** The element for `virsh metadata --set`; `id` is that of the running VM. */
export function pauseRecordXml({ ran, exact, ...record }: PauseRecord, id: string): string {
  const attributes = { ...record, id, exact: exact ? 'yes' : 'no', ...(ran === null ? {} : { ran }) };
  const words = Object.entries(attributes).map(([name, value]) => `${name}='${escapeText(String(value))}'`);
  return `<pause ${words.join(' ')}/>`;
}

const ELEMENT = `${PAUSE_PREFIX}:pause`;

/** The record in a parsed `<metadata>`. Null also for one of an earlier QEMU of the VM, which a revert can bring back. */
export function pauseRecordIn(metadata: unknown, id: string | undefined): PauseRecord | null {
  const found: unknown = (metadata as Readonly<Record<string, unknown>> | null | undefined)?.[ELEMENT];
  if (typeof found !== 'object' || found === null || id === undefined) return null;
  const { '@how': how, '@snapshot': snapshot, ...rest } = found as Readonly<Record<string, string>>;
  const { '@since': since, '@owner': owner = '', '@id': then, '@ran': ran, '@exact': exact } = rest;
  const isKnown = (how === 'paused' || how === 'frozen') && snapshot !== undefined && then === id;
  if (!isKnown) return null;
  const number = ran === undefined ? null : Number(ran);
  return { how, snapshot, since: Number(since), owner, ran: number, exact: exact === 'yes' };
}

/** The XML of a snapshot without the record in its stored definitions. libvirt writes each element on lines of its own. */
export function withoutPauseRecord(xml: string): string {
  const record = new RegExp(`\\n *<${ELEMENT} [^>]*/>`, 'g');
  if (!record.test(xml)) return xml;
  return xml.replace(record, '').replace(/\n *<metadata>\s*<\/metadata>/g, '');
}
