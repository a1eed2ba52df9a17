/** Bytes as whole mebibytes, rounded up, as the rules name sizes: `129 MiB`. */
export const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
