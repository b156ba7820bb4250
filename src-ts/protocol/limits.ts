/**
 * Every bound of the public protocol, by name and unit. What a client sends past one of them is
 * answered with an error that names the field and the bound; nothing is cut silently.
 */

// Requests
/** Bytes of one HTTP request body, decoded. Histories of agents are long. */
export const bodyBytesMax = 32 * 1024 * 1024;
/** Bytes of all bodies and messages that are arriving, or wait to become prompts. */
export const bodiesBytesMax = 256 * 1024 * 1024;
/** Of them, those of one key, or of one address where there are no keys. */
export const bodiesBytesPerClientMax = 128 * 1024 * 1024;
/** So much of each may arrive uncounted: what is small costs no counting. */
export const bodyBytesUncounted = 64 * 1024;
/** Layers of Content-Encoding of one body. */
export const contentEncodingsMax = 2;
/** Compressed bodies that are decoded at once; the disk needs the other threads of Node's pool. */
export const decodingsMax = 2;
/** Arrays and objects inside one another in a request. */
export const jsonDepthMax = 64;
/** Values of one JSON text: bounds what checking it can cost everybody else. */
export const jsonValuesMax = 1_000_000;
export const messagesMax = 16_384;
export const toolsMax = 1_024;
export const toolNameCharsMax = 128;
/** UTF-16 units of what a tool says of itself. */
export const toolDescriptionCharsMax = 256 * 1024;
/** Places in the schemas of a request's tools that may be left unenforced. */
export const toolPlacesDroppedMax = 256;
/** UTF-16 units of the grammar of a custom tool. */
export const toolGrammarCharsMax = 64 * 1024;
/** Calls of one message of a history. */
export const callsPerMessageMax = 1_024;
/** Content parts of one message. */
export const contentPartsMax = 1024;
/** UTF-16 units of one text field. */
export const textCharsMax = bodyBytesMax;
export const modelIdCharsMax = 512;
/** Of `name`, ids that are sent back to us, and of `user` and its like as far as they are repeated. */
export const identifierCharsMax = 512;
/** Entries of `chat_template_kwargs`. */
export const templateArgumentsMax = 64;
/** UTF-16 units of `chat_template_kwargs` as JSON. */
export const templateArgumentsCharsMax = 64 * 1024;
export const metadataEntriesMax = 16;
export const metadataKeyCharsMax = 64;
export const metadataValueCharsMax = 512;
export const includeEntriesMax = 16;

/** Of a refused body so much is still read, so that its sender gets to the answer. */
export const refusedBytesMax = 128 * 1024 * 1024;

// What was not followed
/** Names of ignored fields that an answer tells. */
export const ignoredFieldsMax = 32;
/** Characters that such a name shows of one key. */
export const ignoredKeyCharsMax = 64;

// Sampling
export const stopStringsMax = 16;
export const stopStringCharsMax = 512;
export const logitBiasEntriesMax = 1024;
export const logitBiasAbsMax = 100;
export const topLogprobsMax = 20;
export const temperatureMax = 2;
export const penaltyAbsMax = 2;
export const repetitionPenaltyMax = 10;
export const topKMax = 1_000_000;
export const tokenIdMax = 0xffff_ffff;
export const outputTokensMax = 1_048_576;
/** Every integer of 64 bits, with and without a sign, and exact as a number of JSON Schema. */
export const seedAbsMax = 10n ** 20n;

// What answers are kept to
/** Schemas inside one another. */
export const schemaDepthMax = 64;
/** Schemas inside a schema, each place where one is referred to counted once. */
export const schemaPartsMax = 10_000;
/** Values in `const` and `enum`, of a whole schema. */
export const schemaValuesMax = 10_000;
/** UTF-16 units of a schema as JSON. */
export const schemaCharsMax = 512 * 1024;
/** UTF-16 units of one regular expression. */
export const patternCharsMax = 8 * 1024;
/** Of `minLength` and `minItems`: more nobody would wait for. */
export const schemaLengthMinMax = 65_536;
/** What a `maxLength` of more is taken for. */
export const schemaLengthMaxMax = 2 ** 31 - 1;
/** UTF-16 units of a grammar in Lark's way. */
export const grammarCharsMax = 64 * 1024;
/** Texts of `guided_choice`. */
export const choiceEntriesMax = 4_096;
export const schemaNameCharsMax = 64;

// Several choices
export const choicesPerPromptMax = 16;
/** Prompts of one completion request. */
export const promptsMax = 64;
/** Prompts times `n`. */
export const choicesMax = 128;
/** Token ids of one prompt. */
export const promptTokensMax = jsonValuesMax;

// Embeddings
/** Texts of one request. */
export const embeddingInputsMax = 2_048;
export const dimensionsMax = 65_536;

// Lists
/** Items of one page of `input_items`. */
export const listedItemsMax = 100;
/** The same as the description of the API can say it. */
export const listedItemsPattern = /^([1-9][0-9]?|100)$/;
export const listedItemsDefault = 20;

// Headers
export const requestIdCharsMax = 128;
export const idempotencyKeyCharsMax = 255;
/** W3C trace context: of the versions to come, too. */
export const traceparentCharsMax = 128;
export const tracestateCharsMax = 1024;
export const deadlineMsMax = 24 * 60 * 60 * 1000;
export const headerBytesMax = 16 * 1024;

// WebSocket
/** How long a ticket can be used. */
export const ticketLifeMs = 30_000;
/** Unused tickets of one key, or of one address where there are no keys. */
export const ticketsPerClientMax = 64;
/** Unused tickets of all together. */
export const ticketsMax = 8_192;
/** Bytes of one message of a client. */
export const frameBytesMax = bodyBytesMax;
/** Fragments of one message. */
export const fragmentsMax = 1024;
/** Received chunks that may wait for the rest of one frame. */
export const bufferedChunksMax = 65_536;
export const socketsMax = 10_240;
/** Lanes of one socket that have something to do; the default lane is not counted. */
export const lanesPerSocketMax = 128;
/** Messages of one lane that wait for the one in progress. */
export const queuedPerLaneMax = 64;
/** Responses and waiting messages of one socket, all lanes together. */
export const requestsPerSocketMax = 512;
/** Unstored responses of a socket that it can go on from: the last ones. */
export const rememberedResponsesMax = 128;
/** Bytes that what they read and said may take, about. */
export const rememberedBytesMax = 64 * 1024 * 1024;
export const streamIdCharsMax = 256;
export const eventIdCharsMax = 512;
/** A socket that has sent so many bad messages is closed with 1008. */
export const badMessagesMax = 16;
/** Pings that a client may send in one interval of ours; more is closed with 1008. */
export const clientPingsPerIntervalMax = 256;
export const pingIntervalMs = 20_000;
/** A socket that leaves so many pings unanswered is dropped. */
export const missedPingsMax = 2;

// Slow readers
/** Past so many buffered bytes a stream is not written to. */
export const writeBufferBytesMax = 256 * 1024;
/** Past so many a socket that provokes answers without reading them is closed. */
export const controlBufferBytesMax = 1024 * 1024;
/** Log entries that may pile up, over all streams of a connection, while it takes nothing. */
export const lagEntriesMax = 65_536;

// HTTP connections
export const headersTimeoutMs = 10_000;
/** A whole request must have arrived within it. */
export const requestTimeoutMs = 60_000;
export const keepAliveTimeoutMs = 75_000;
export const connectionsMax = 12_288;
/** Between two SSE comments while nothing else is sent. */
export const sseKeepAliveMs = 10_000;
/** A stream of which nothing has left for so many of these intervals, though something waits, is dropped. */
export const sseStalledTicksMax = 6;
/** Who may follow `GET /admin/events` at a time. */
export const viewersMax = 64;
/** Idle connections are probed by TCP after it. */
export const tcpKeepAliveMs = 30_000;
