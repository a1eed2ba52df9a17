/** The image of a disk that is on the network (formatdomain, `<source protocol=... name=...>` with `<host>`). */

/** The port of a protocol if none is given (formatdomain, `<host>`); without one of rbd, Ceph tries two. */
export const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  nbd: '10809',
  http: '80',
  https: '443',
  ftp: '21',
  ftps: '990',
  ssh: '22',
  iscsi: '3260',
  gluster: '24007',
  sheepdog: '7000',
  vxhs: '9999',
};

/** Protocols in which the name alone identifies the image; the hosts are only ways to the same cluster or target. */
const NAMED_ALONE: ReadonlySet<string> = new Set(['rbd', 'iscsi', 'gluster', 'sheepdog']);

/** The attributes of a `<source>`, with those of its first `<host>`. */
export interface NetworkSource {
  readonly protocol: string | undefined;
  readonly name: string | undefined;
  readonly host: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Identifies the image of a network disk by a text such as `nbd://127.0.0.1:10809/name`: two disks with the same text use the
 * same image. Null if it is not on the network.
 */
export function networkImage({ protocol, name = '', host = {} }: NetworkSource): string | null {
  if (protocol === undefined) return null;
  if (NAMED_ALONE.has(protocol)) return `${protocol}:${name}`;
  const place =
    host['transport'] === 'unix'
      ? `unix:${host['socket'] ?? ''}`
      : `${hostName(host['name'] ?? '')}:${host['port'] ?? DEFAULT_PORTS[protocol] ?? ''}`;
  return `${protocol}://${place}/${name.replace(/^\//, '')}`;
}

const hostName = (name: string): string =>
  /^(?:localhost|127\.[\d.]+|::1)$/i.test(name) ? 'localhost' : name.toLowerCase();
