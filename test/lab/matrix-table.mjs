// node matrix-table.mjs [--readme | --whole] VERSION=TESTS.json...
// Prints, from what really ran, what became of each hazard on each version: virsh's outcome and kvmsnap's.
// --readme puts that into src/manual/hazards.md, between `<!-- hazards -->` and `<!-- end -->`; after a run of all tests, --whole
// ends with 1 when the page has a hazard there that no test has shown. (That each is as there, the tests see to.)
import { readFileSync, writeFileSync } from 'node:fs';

const PAGE = new URL('../../src/manual/hazards.md', import.meta.url);
const PLACE = /(<!-- hazards -->\n)(.*?)(<!-- end -->)/s;

const args = process.argv.slice(2);
const option = args[0]?.startsWith('--') ? args.shift() : undefined;

const columns = args.map((argument) => {
  const [version, file] = argument.split('=');
  const { testResults } = JSON.parse(readFileSync(file, 'utf8'));
  return { version, tests: testResults.flatMap(({ assertionResults }) => assertionResults) };
});

/** What a test has noted (hazards/promise/promise.ts); of one that failed before, its title alone. */
function noted({ title, status, meta: { hazard } }) {
  const [, number, what] = /^(\d+): (.*)$/.exec(title) ?? [];
  const outcome = status === 'passed' || hazard ? hazard : { virsh: '', kvmsnap: '**FAILED**' };
  return number && outcome ? { ...outcome, number: Number(number), what } : undefined;
}

/** By hazard, then by outcome, the versions that have it. */
const hazards = new Map();
for (const { version, tests } of columns) {
  for (const { number, what, virsh, kvmsnap } of tests.map(noted).filter(Boolean)) {
    const key = `${number}\0${what}`;
    const { outcomes } = hazards.get(key) ?? hazards.set(key, { number, what, outcomes: new Map() }).get(key);
    const outcome = `${virsh} | ${kvmsnap}`;
    outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), version]);
  }
}

const named = (versions) => (versions.length === columns.length ? 'all' : versions.join(', '));
const rows = [...hazards.values()]
  .sort((a, b) => a.number - b.number)
  .flatMap(({ number, what, outcomes }) =>
    [...outcomes].map(([outcome, versions]) => `| ${number} | ${what} | ${named(versions)} | ${outcome} |\n`),
  );
const table = `| # | hazard | libvirt | virsh | kvmsnap |\n| --: | --- | --- | --- | --- |\n${rows.join('')}`;

if (rows.length > 0) process.stdout.write(`\n${table}`);
if (option) {
  const text = readFileSync(PAGE, 'utf8');
  const promised = PLACE.exec(text)?.[2].matchAll(/^\| (\d+) \| (.*?) \|/gm) ?? [];
  const unseen = new Set([...promised].map(([, number, what]) => `${number}: ${what}`));
  for (const { number, what } of hazards.values()) unseen.delete(`${number}: ${what}`);
  if (option === '--readme')
    writeFileSync(
      PAGE,
      text.replace(PLACE, (_, before, __, after) => `${before}\n${table}\n${after}`),
    );
  else
    for (const hazard of unseen) {
      process.stderr.write(`the manual promises what no test has shown: ${hazard}\n`);
      process.exitCode = 1;
    }
}
