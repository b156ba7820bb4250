/** The few things a journal needs of a folder. A simulator brings a folder of its own. */
import { constants } from "node:fs";
import { open, readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../setup/folders.mjs";

export interface DiskFile {
  /** Writes all of it, or rejects with some of it written. */
  write(data: Uint8Array, offset: number): Promise<void>;
  /** What was written survives a loss of power. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  list(): Promise<string[]>;
  read(name: string): Promise<Buffer>;
  /** Rejects if it exists. */
  create(name: string): Promise<DiskFile>;
  truncate(name: string, bytes: number): Promise<void>;
  remove(name: string): Promise<void>;
  /** That files were made or removed survives a loss of power. */
  sync(): Promise<void>;
}

/** Stored responses hold prompts: they are their owner's alone. */
const fileMode = 0o600;
const folderMode = 0o700;

/** Makes the folder if it isn't there. Rejects with the system's error. */
export async function folderDisk(folder: string): Promise<Disk> {
  makeFolder(folder, folderMode);
  const path = (name: string) => join(folder, name);
  return {
    list: () => readdir(folder),
    read: (name) => readFile(path(name)),
    create: (name) => createFile(path(name)),
    truncate: (name, bytes) => truncate(path(name), bytes),
    remove: (name) => rm(path(name), { force: true }),
    sync: () => syncFolder(folder),
  };
}

async function createFile(path: string): Promise<DiskFile> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const file = await open(path, flags, fileMode);
  return {
    async write(data, offset) {
      for (let done = 0; done < data.length; ) {
        const left = data.length - done;
        const { bytesWritten } = await file.write(data, done, left, offset + done);
        done += bytesWritten;
      }
    },
    sync: () => file.sync(),
    truncate: (bytes) => file.truncate(bytes),
    close: () => file.close(),
  };
}

async function syncFolder(folder: string): Promise<void> {
  const file = await open(folder, constants.O_RDONLY);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
