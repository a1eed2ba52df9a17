/** The bytes of an IPv4 or IPv6 address in hex, such as `7f000001`; null for other texts, such as a host name. */
export function addressBytes(address: string): string | null {
  const ip = address.replace(/%.*$/, '');
  return ip.includes(':') ? bytes6(ip) : bytes4(ip);
}

function bytes4(ip: string): string | null {
  const parts = /^\d+(?:\.\d+){3}$/.test(ip) ? ip.split('.').map(Number) : [];
  return parts.length === 4 && parts.every((part) => part < 256) ? hex(parts, 2) : null;
}

/** RFC 4291: groups of four digits, `::` for as many of them as are left out, and the last two perhaps as IPv4. */
function bytes6(ip: string): string | null {
  const [, head = '', last = ''] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(ip) ?? [];
  const embedded = last === '' ? null : bytes4(last);
  if (last !== '' && embedded === null) return null;
  const text = embedded === null ? ip : `${head}${embedded.slice(0, 4)}:${embedded.slice(4)}`;
  const sides = text.split('::').map((side) => (side === '' ? [] : side.split(':')));
  const [before = [], after = []] = sides;
  const groups = before.length + after.length;
  if (sides.length > 2 || (sides.length === 2 ? groups > 7 : groups !== 8)) return null;
  const all = [...before, ...Array.from({ length: 8 - groups }, () => '0'), ...after];
  return all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))
    ? hex(
        all.map((group) => Number.parseInt(group, 16)),
        4,
      )
    : null;
}

const hex = (numbers: readonly number[], digits: number): string =>
  numbers.map((number) => number.toString(16).padStart(digits, '0')).join('');
