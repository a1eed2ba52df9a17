/** The advice to look at the help of a command (null: of the program), and a remark; for an error in the command line. */
export const seeHelp = (command: string | null, remark = '') => ({
  hint: `to see ${command === null ? 'all commands and options' : 'its arguments and options'}${remark}`,
  command: command === null ? 'kvmsnap --help' : `kvmsnap ${command} --help`,
});
