import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { loadConfig } from 'rolldown/config';
import { parseAst } from 'rolldown/parseAst';
import { describe, expect, test } from 'vitest';

/**
 * The rooms of src, their import rules, and what only some places may touch.
 *
 * Biome's noRestrictedImports was tried for the imports (2.6): of several settings for one file only the last counts, so that
 * each room needs the packages and all rooms above it in a setting of its own, and it cannot allow the types of a module alone
 * (run/context.ts). What a module remembers and what a command loads it does not see at all.
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Import {
  readonly from: string;
  /** `type`: gone at run time. `lazy`: an `import()`. */
  readonly kind: 'type' | 'eager' | 'lazy';
}

interface Source {
  readonly path: string;
  readonly imports: readonly Import[];
  /** Names that the code refers to, members as `Date.now`; words in types, comments and texts do not count. */
  readonly names: ReadonlySet<string>;
  readonly forms: ReadonlySet<string>;
  /** What the module itself remembers, or does when it is loaded, by line. */
  readonly state: readonly string[];
}

type Node = Readonly<Record<string, unknown>> & { readonly type: string };

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';

const text = (node: unknown, key: string): string =>
  isNode(node) && typeof node[key] === 'string' ? node[key] : '';

function* nodesIn(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node))
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* nodesIn(child);
}

const IMPORTING: Readonly<Record<string, Import['kind']>> = {
  ImportDeclaration: 'eager',
  ExportNamedDeclaration: 'eager',
  ExportAllDeclaration: 'eager',
  ImportExpression: 'lazy',
};

function importOf(node: Node): Import[] {
  const kind = IMPORTING[node.type];
  const from = text(node['source'], 'value');
  if (!kind || from === '') return [];
  const isType = node['importKind'] === 'type' || node['exportKind'] === 'type';
  return [{ from, kind: isType ? 'type' : kind }];
}

/** `process.env` -> `process`, `process.env`; the `now` of another object's `x.now` is not a name. */
function namesOf(node: Node): string[] {
  if (node.type === 'Identifier') return [text(node, 'name')];
  if (node.type !== 'MemberExpression') return [];
  return [`${text(node['object'], 'name')}.${text(node['property'], 'name')}`];
}

/** A statement of a module that changes something when it is loaded, or keeps what can change. */
function isState(statement: Node): boolean {
  if (statement.type === 'ExpressionStatement') return true;
  const declaration = isNode(statement['declaration']) ? statement['declaration'] : statement;
  if (declaration.type !== 'VariableDeclaration') return false;
  const parts = declaration['declarations'] as Node[];
  return (
    text(declaration, 'kind') !== 'const' || parts.some((part) => isMemory(part['init']) && !isFixed(part))
  );
}

/** Of a type by name, which is a read-only one. */
function isFixed({ id }: Node): boolean {
  const type = isNode(id) && isNode(id['typeAnnotation']) ? id['typeAnnotation']['typeAnnotation'] : null;
  const name = isNode(type) ? text(type['typeName'], 'name') : '';
  return name !== '' && !/^(Map|Set|Array|Weak.*)$/.test(name);
}

/** An empty Map, Set or list, and anything weak. */
function isMemory(value: unknown): boolean {
  if (!isNode(value)) return false;
  if (value.type === 'ArrayExpression') return (value['elements'] as Node[]).length === 0;
  if (value.type !== 'NewExpression') return false;
  const name = text(value['callee'], 'name');
  return /^Weak/.test(name) || (/^(Map|Set)$/.test(name) && (value['arguments'] as Node[]).length === 0);
}

function read(path: string): Source {
  const code = readFileSync(join(ROOT, path), 'utf8');
  const program = parseAst(code, { lang: 'ts' }) as unknown as Node;
  const nodes = [...nodesIn(program)];
  const members = new Set(
    nodes.flatMap((node) =>
      (node.type === 'MemberExpression' && !node['computed']) || node.type === 'TSQualifiedName'
        ? [node['property'] ?? node['right']]
        : node.type === 'Property' && !node['computed'] && !node['shorthand']
          ? [node['key']]
          : [],
    ),
  );
  return {
    path,
    imports: nodes.flatMap(importOf),
    names: new Set(nodes.filter((node) => !members.has(node)).flatMap(namesOf)),
    forms: new Set(nodes.map(({ type }) => type)),
    state: (program['body'] as Node[])
      .filter(isState)
      .map(({ start, end }) => code.slice(Number(start), Number(end)).split('\n')[0] ?? ''),
  };
}

const SOURCES: readonly Source[] = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .map((path) => read(join('src', path)));

/** `src/model/names.ts` -> `model`, `src/main.ts` -> `main`. */
const roomOf = (path: string): string => path.split('/')[1]?.replace(/\.ts$/, '') ?? '';

const target = ({ path }: Source, { from }: Import): string => normalize(join(dirname(path), from));

const isLocal = ({ from }: Import): boolean => from.startsWith('.');

/** The rooms, top first: each imports from those below it only. Rooms of one line do not know each other. */
const ORDER: readonly (readonly string[])[] = [
  ['main'],
  ['cli'],
  ['hosts'],
  ['check', 'try', 'export', 'open', 'clone', 'verify', 'ansible'],
  ['content'],
  ['revert'],
  ['create'],
  ['prune', 'merge'],
  ['delete'],
  ['completion', 'show', 'history', 'timer'],
  ['help', 'policy'],
  ['watch'],
  ['describe', 'space'],
  ['run'],
  ['command-line'],
  ['sharing'],
  ['vm'],
  ['libvirt', 'qemu'],
  ['host'],
  ['output'],
  ['model'],
  ['errors'],
  // pages of text
  ['manual'],
];
/** What one run has at hand: every room below may name its type. */
const RUN_CONTEXT = 'src/run/context.ts';

const rank = (room: string): number => ORDER.findIndex((rooms) => rooms.includes(room));

/** Where each package is used; no other is. */
const PLACE_OF_PACKAGE: Readonly<Record<string, readonly string[]>> = {
  '@rgrove/parse-xml': ['src/libvirt/xml/xml.ts'],
  chalk: ['src/output/color.ts'],
  'cli-table3': ['src/output/table/grid.ts'],
  '@commander-js/extra-typings': ['type src/command-line/commander.ts'],
  commander: ['src/command-line/commander.ts'],
  execa: ['src/host/process'],
  'p-limit': [
    'src/run/for-each-domain.ts',
    'src/host/process/exec.ts',
    'src/host/terminal.ts',
    'src/hosts/over-hosts.ts',
  ],
  'string-width': ['src/output/table/text-width.ts'],
  'zod/mini': [
    'src/history/history-file.ts',
    'libvirt',
    'qemu',
    'src/output/contract',
    'src/output/contract.ts',
    'src/output/schemas.ts',
  ],
};

/**
 * Who may touch files: whatever is a file of the host goes through the port HostFiles, for which there can be another
 * implementation. The others are for files and streams of the user who runs kvmsnap.
 */
const TOUCHES_FILES = [
  'src/host/config-files.ts',
  'src/host/trusted-file.ts',
  'src/host/process/user-programs.ts',
  'src/host/local-files.ts',
  'src/host/process/nameless-file.ts',
  'src/host/process/own-process.ts',
  'src/host/process/exec.ts',
  'src/host/replaced-file.ts',
  'src/host/run-files.ts',
  'src/host/process/running.ts',
  'src/host/saved-xml.ts',
  'src/host/ssh/connection.ts',
  'src/host/ssh/control-socket.ts',
  'src/host/ssh/ssh-config.ts',
  'src/host/terminal.ts',
  'src/host/user-files.ts',
  'src/main.ts',
];

/** Rooms that compute only, and use no part of Node. */
const PURE = ['model', 'output', 'errors', 'cli', 'command-line'];

const WORLD = ['process', 'console', 'globalThis', 'global', 'Date.now', 'performance'];
const WORLDLY = [
  'src/main.ts',
  'src/run/context.ts',
  'src/host/terminal.ts',
  'src/host/process/exec.ts',
  'src/host/process/kill-group.ts',
  'src/host/ssh/ssh-process.ts',
];

const allowed = (places: readonly string[] | undefined, { path }: Source, { kind }: Import): boolean =>
  [path, dirname(path), roomOf(path)].some(
    (place) => places?.includes(place) || (kind === 'type' && places?.includes(`type ${place}`)),
  );

test('there is something to look at', () => {
  expect(SOURCES.length).toBeGreaterThan(40);
  expect(SOURCES.flatMap(({ imports }) => imports).length).toBeGreaterThan(100);
});

describe.each(SOURCES.map((source) => [source.path, source] as const))('%s', (path, source) => {
  const room = roomOf(path);

  test('imports point one way', () => {
    expect(rank(room)).toBeGreaterThanOrEqual(0);
    const wrong = source.imports
      .filter(isLocal)
      .map((each) => ({ path: target(source, each), kind: each.kind }))
      .filter(({ path: to, kind }) => to !== 'package.json' && !(kind === 'type' && to === RUN_CONTEXT))
      .filter(({ path: to }) => roomOf(to) !== room && rank(roomOf(to)) <= rank(room));
    expect(wrong).toEqual([]);
  });

  const outside = source.imports.filter((each) => !isLocal(each));
  const ofNode = outside.filter(({ from }) => from.startsWith('node:'));

  test('packages have their places', () => {
    const packages = outside.filter((each) => !ofNode.includes(each));
    expect(packages.filter((each) => !allowed(PLACE_OF_PACKAGE[each.from], source, each))).toEqual([]);
  });

  test('parts of Node have theirs', () => {
    if (PURE.includes(room)) expect(ofNode).toEqual([]);
    const worldly = ofNode.filter(({ from }) =>
      /^node:(child_process|process|cluster|worker_threads)$/.test(from),
    );
    expect(WORLDLY.includes(path) ? [] : worldly).toEqual([]);
    const usesFiles = ofNode.some(({ from }) => /^node:fs(\/promises)?$/.test(from));
    expect(usesFiles).toBe(TOUCHES_FILES.includes(path));
  });

  test('the world is touched in its places only', () => {
    if (WORLDLY.includes(path)) return expect(WORLD.some((name) => source.names.has(name))).toBe(true);
    expect(WORLD.filter((name) => source.names.has(name))).toEqual([]);
  });

  test('nothing is remembered or done by the module itself', () => {
    // main.ts is the run
    if (path !== 'src/main.ts') expect(source.state).toEqual([]);
  });

  test('no default export, no barrel', () => {
    expect(source.forms).not.toContain('ExportDefaultDeclaration');
    expect(source.forms).not.toContain('ExportAllDeclaration');
    expect(path).not.toMatch(/\/index\.ts$/);
  });

  test('no room for what belongs nowhere', () => {
    expect(path).not.toMatch(/\b(utils?|helpers?|common|types|misc|shared|lib)\b/);
  });
});

test('no package has a place that it does not use', () => {
  const used = new Set(SOURCES.flatMap(({ imports }) => imports).map(({ from }) => from));
  expect(Object.keys(PLACE_OF_PACKAGE).filter((name) => !used.has(name))).toEqual([]);
});

describe('what is loaded', async () => {
  const bundle = await rolldown({ ...(await config()), cwd: ROOT });
  const { output } = await bundle.generate({ format: 'cjs' });
  const chunks = output.filter((chunk) => chunk.type === 'chunk');
  const packagesIn = (modules: readonly string[]) => [...new Set(modules.flatMap(packageOf))];
  const ownIn = (modules: readonly string[]) =>
    modules.flatMap((id) => /\/(src\/.*\.ts)$/.exec(id)?.slice(1) ?? []).sort();

  /** The modules of these chunks, and of those that they cannot do without. */
  function loadedWith(isFirst: (chunk: (typeof chunks)[number]) => boolean): string[] {
    const loaded = new Set(chunks.filter(isFirst));
    for (const chunk of loaded)
      for (const name of chunk.imports) {
        const next = chunks.find(({ fileName }) => fileName === name);
        if (next) loaded.add(next);
      }
    return [...loaded].flatMap(({ moduleIds }) => moduleIds);
  }

  test('for --version: commander and the command line, but no command', () => {
    const modules = loadedWith(({ isEntry }) => isEntry);
    expect(packagesIn(modules)).toEqual(['commander']);
    expect([...new Set(ownIn(modules).map(roomOf))].sort()).toEqual([
      'cli',
      'command-line',
      'errors',
      'main',
    ]);
    expect(ownIn(modules).filter((path) => path.endsWith('/command.ts'))).toEqual([]);
  });

  test('for --help: the definitions of all commands and the parsers of their options besides', () => {
    const isDefinition = ({ facadeModuleId }: { readonly facadeModuleId: string | null }) =>
      facadeModuleId?.endsWith('/command.ts') ?? false;
    const modules = loadedWith((chunk) => chunk.isEntry || isDefinition(chunk));
    expect(packagesIn(modules)).toEqual(['commander']);
    expect(ownIn(modules).filter((path) => path.endsWith('/command.ts')).length).toBeGreaterThan(9);
    const isOfTheLine = (path: string) =>
      /^src\/(main|cli|errors|command-line\/.*|model\/.*)\.ts$|\/(command|[\w-]*options?)\.ts$/.test(path);
    expect(ownIn(modules).filter((path) => !isOfTheLine(path))).toEqual([
      'src/libvirt/disk-spec.ts',
      'src/policy/with-policy.ts',
      'src/prune/free-space-policy.ts',
      'src/watch/recorded.ts',
    ]);
  });

  test('all that is for the work itself is there to be loaded', () => {
    expect(packagesIn(chunks.flatMap(({ moduleIds }) => moduleIds))).toEqual(
      expect.arrayContaining(['execa', 'zod', 'cli-table3', 'chalk']),
    );
  });
});

async function config() {
  const loaded = await loadConfig(join(ROOT, 'src/rolldown.config.mjs'));
  if (typeof loaded === 'function' || Array.isArray(loaded))
    throw new Error('one plain configuration is expected');
  return loaded;
}

const packageOf = (id: string): string[] =>
  /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(id)?.slice(1) ?? [];
