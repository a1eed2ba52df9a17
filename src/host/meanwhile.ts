/**
 * Waits for a read that has just begun, and meanwhile loads the modules that are needed afterwards: virsh takes about
 * as long as Node.js does for them. Throws what the reading throws.
 */
export async function loadMeanwhile<Reading, Modules>(
  reading: Promise<Reading>,
  load: () => Promise<Modules>,
): Promise<[Reading, Modules]> {
  reading.catch(() => undefined); // thrown below, when the modules are there
  await new Promise(setImmediate); // modules are loaded without a pause, so virsh has to be started before
  const modules = await load();
  return [await reading, modules];
}
