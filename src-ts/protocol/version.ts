/** Version of the public protocol, which is not the program's: that one is told to nobody without a key. */
export const protocolVersion = "1.0.0";
