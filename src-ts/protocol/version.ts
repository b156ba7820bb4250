/** The one version number: the package's, the worker's, and that of the documents of the protocol. */
export const version = "0.1.0";
