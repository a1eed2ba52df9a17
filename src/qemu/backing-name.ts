import { directoryOf } from '../model/paths.ts';

/** Interprets the name by which an image records its backing file. */

export type BackingLocation =
  /** A file of this host, by its absolute path. */
  | { readonly kind: 'file'; readonly path: string; readonly format: string | null }
  /** Another host, or something that only QEMU can open; it is not followed here. */
  | { readonly kind: 'elsewhere'; readonly name: string };

/**
 * Reads the name as QEMU does (block.c, path_has_protocol): with a colon before the first slash it is not a path,
 * except for `file:` and `host_device:`. A relative path is relative to the directory of the image. `format` is the
 * format in a `json:` name, and null for other names.
 */
export function backingLocation(name: string, image: string): BackingLocation {
  if (name.startsWith('json:')) return placeInJson(name);
  const [, protocol] = /^([^/:]*):/.exec(name) ?? [];
  if (protocol === undefined) return file(name.startsWith('/') ? name : `${directoryOf(image)}/${name}`);
  const rest = name.slice(protocol.length + 1);
  return (protocol === 'file' || protocol === 'host_device') && rest.startsWith('/')
    ? file(rest)
    : { kind: 'elsewhere', name };
}

const file = (path: string, format: string | null = null): BackingLocation => ({
  kind: 'file',
  path,
  format,
});

type Options = Readonly<Record<string, unknown>>;

/** `json:{"driver":"qcow2","file":{"driver":"file","filename":"/a"}}`, also with flat keys such as `file.filename`. */
function placeInJson(name: string): BackingLocation {
  const elsewhere: BackingLocation = { kind: 'elsewhere', name };
  const options = parseOptions(name.slice('json:'.length));
  if (!options) return elsewhere;
  const isProtocol = typeof options['filename'] === 'string';
  const below = isProtocol ? options : within(options, 'file');
  const path = below['filename'];
  const driver = below['driver'];
  const isFile = driver === undefined || driver === 'file' || driver === 'host_device';
  if (!isFile || typeof path !== 'string' || !path.startsWith('/')) return elsewhere;
  const format = isProtocol ? null : options['driver'];
  return file(path, typeof format === 'string' ? format : null);
}

function parseOptions(text: string): Options | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Options) : null;
  } catch {
    return null;
  }
}

/** The options of a child, either nested or as keys with a dot. */
function within(options: Options, child: string): Options {
  const nested = options[child];
  if (typeof nested === 'object' && nested !== null) return nested as Options;
  const prefix = `${child}.`;
  return Object.fromEntries(
    Object.entries(options).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );
}
