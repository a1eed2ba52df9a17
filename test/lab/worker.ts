// In each worker of the lab: it is in a process group of its own, so Ctrl-C does not reach it. It ends with the test run.
process.once('disconnect', () => process.exit(1));
