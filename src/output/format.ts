import { UNPRINTABLE } from '../model/quote.ts';

/** Formats values for people: sizes, times, ages. Scripts get bytes and RFC 3339. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1288490189` -> `1.2 GiB`. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** The commands of one fix, a line each; with numbers if they are several steps. */
export const numbered = (commands: readonly string[]): readonly string[] =>
  commands.length > 1 ? commands.map((command, i) => `${i + 1}. ${command}`) : commands;

/** Seconds since the epoch -> local time in RFC 3339 with the offset, `2026-11-23T10:41:00+01:00`. */
export function rfc3339(seconds: number): string {
  const { date, time, offset } = localParts(seconds);
  return `${date}T${time}${offset}`;
}

/** Seconds since the epoch -> local time for people, `2026-11-23 10:41:00`. */
export function localTime(seconds: number): string {
  const { date, time } = localParts(seconds);
  return `${date} ${time}`;
}

function localParts(seconds: number): { date: string; time: string; offset: string } {
  const at = new Date(seconds * 1000);
  const pad = (n: number, width = 2) => String(n).padStart(width, '0');
  const minutes = -at.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return {
    date: `${pad(at.getFullYear(), 4)}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`,
    time: `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`,
    offset: `${minutes < 0 ? '-' : '+'}${pad(hours)}:${pad(rest)}`,
  };
}

/** A state in virsh's words, `shut off`; in data it is `shutoff`. */
export const stateWord = (state: string): string => (state === 'shutoff' ? 'shut off' : state);

const AGES: readonly (readonly [unit: string, seconds: number])[] = [
  ['y', 365 * 86_400],
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** A span of seconds in its largest unit, `3 h`, `12 d`; a negative one lies in the future. */
export function humanSpan(seconds: number): string {
  const whole = Math.round(Math.abs(seconds));
  const [unit, size] = AGES.find(([, size]) => whole >= size) ?? ['s', 1];
  return `${seconds < 0 ? '-' : ''}${Math.floor(whole / size)} ${unit}`;
}

const AGE_WORDS: Readonly<Record<string, string>> = {
  y: 'year',
  d: 'day',
  h: 'hour',
  min: 'minute',
  s: 'second',
};

/** How long ago something was, in words, `3 hours ago`; a negative number of seconds lies in the future. */
export function agoWords(seconds: number): string {
  const [count = '', unit = ''] = humanSpan(Math.abs(seconds)).split(' ');
  const span = `${count} ${AGE_WORDS[unit]}${count === '1' ? '' : 's'}`;
  return seconds < 0 ? `in ${span}` : `${span} ago`;
}

/** `1 snapshot`, `12 snapshots`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** True for printable ASCII only, where each character takes one column and needs no escape. */
export function isPlainAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** Makes control characters and text-direction overrides visible, which could redraw a terminal or fake a row. */
export function visible(text: string): string {
  if (isPlainAscii(text)) return text;
  return text.replace(new RegExp(UNPRINTABLE, 'gu'), (char) => {
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    const code = char.codePointAt(0) ?? 0;
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** The same as `visible` for text of several lines, whose line feeds stay. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
