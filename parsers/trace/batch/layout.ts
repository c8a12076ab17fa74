/**
 * The one linear memory that batches are worked on in: what lies where. AssemblyScript compiles this file, too: it has
 * nothing but constants. Offsets and sizes are in bytes where nothing else is said.
 */

/** A page of WebAssembly memory. The first one is the compiler's, for constants. */
export const WASM_PAGE = 65536;

// ── constants that are made at the start ──

/** Four decimal digits with leading zeros, by their number: words of 4 bytes. */
export const DIGITS_AT = 1 << 12;
export const DIGIT_GROUP = 10_000;
/** Texts that every outcome has: 32 bytes each, and how long they are. */
export const FIXED_AT = (1 << 15) | (1 << 14);
export const FIXED_BYTES = 48;
export const FIXED_LENGTH = 32;
/** Which of them there are: up to the line, up to `seq`, up to `ts`, up to the length, the end, the end of a match. */
export const FIXED_LINE = 0;
export const FIXED_SEQ = 1;
export const FIXED_TS = 2;
export const FIXED_LEN = 3;
export const FIXED_END = 4;
export const FIXED_MATCH = 5;

// ── records: what a scan finds in a line each ──

export const MAX_RECORDS = 1024;
export const RECORD_BYTES = 64;
export const RECORDS_AT = 1 * WASM_PAGE;
/** Where its line begins, and the newline that ends it. */
export const RECORD_START = 0;
export const RECORD_END = 4;
/** Bits below; 0 for whatever is no plain request, write or command. */
export const RECORD_FLAGS = 8;
/** Numbers of names, -1 where there is none; and the PASID, likewise. */
export const RECORD_IOMMU = 12;
export const RECORD_DEVICE = 16;
export const RECORD_PASID = 20;
/** The input address: 8 bytes. */
export const RECORD_ADDR = 24;
export const RECORD_LEN = 32;
/** `ts`: where its text begins, and how long it is. */
export const RECORD_TS = 36;
/** `seq`, and the observed address, 8 bytes each; or where the text of an observed fault begins, and how long it is. */
export const RECORD_SEQ = 40;
export const RECORD_PA = 48;
export const RECORD_TS_BYTES = 56;
/** Of a write, where its digits begin, and how many bytes of text they are. */
export const RECORD_DATA = 48;
export const RECORD_DATA_BYTES = 52;
/** Of a command, its words, 8 bytes each, and how many there are. */
export const RECORD_WORDS = 16;
export const RECORD_WORD_COUNT = 56;
/** While it is answered: where its context stands; then, of a fault, its tail. */
export const RECORD_ANSWER = 60;

/** The kind of access in the low three bits, as walkers have it. */
export const REQUEST_ACCESS = 7;
/** It is a plain request. */
export const PLAIN_REQUEST = 8;
/** Of privilege: given, and which. */
export const PRIV_GIVEN = 16;
export const REQUEST_PRIV = 32;
export const HAS_SEQ = 64;
/** It was observed to be translated, and to which address. */
export const HAS_OBSERVED = 128;
export const HAS_PA = 256;
/** It was observed to fault; and its access is given. */
export const HAS_FAULT = 512;
export const ACCESS_GIVEN = 1024;
/** It is a plain write of guest memory, or a plain command; and it is no other. */
export const PLAIN_WRITE = 2048;
export const PLAIN_COMMAND = 4096;

/** Records that `answer` has answered with faults: their numbers, as words, of at most MAX_RECORDS that it is given. */
export const FAULTED_AT = RECORDS_AT + MAX_RECORDS * RECORD_BYTES;

// Which outcomes are written: of translations and of faults, those without a verdict and those that match; and whether faults
// are answered at all.
export const SELECT_OK = 1;
export const SELECT_OK_MATCHES = 2;
export const SELECT_FAULTS = 4;
export const SELECT_FAULT_MATCHES = 8;
export const ANSWER_FAULTS = 16;

// ── names: as numbers, by their text ──

/** Slots of each table of names; half may be taken. A power of two. */
export const NAME_SLOTS = 4096;
/** A slot: the name's number + 1, its length, and its text with zeros behind. */
export const NAME_BYTES = 48;
export const NAME_LENGTH = 4;
export const NAME_TEXT = 16;
/** Longer names are not in the table. */
export const LONGEST_NAME = 32;
export const IOMMUS_AT = FAULTED_AT + MAX_RECORDS * 4;
export const DEVICES_AT = IOMMUS_AT + NAME_SLOTS * NAME_BYTES;

// ── the memo: what requests come to ──

/** Bytes of a slot of its tables: two of them are one line of the processor's cache. */
export const MEMO_SLOT_BYTES = 32;
/** The same as words of 4 bytes. */
export const MEMO_SLOT_WORDS = 8;
/** Slots of contexts and of answers, and how many tails: powers of two. Of the slots, half may be taken. */
export const CONTEXT_SLOTS = 1 << 15;
export const ANSWER_SLOTS = 1 << 18;
export const MAX_TAILS = 1 << 15;

/** The period: what was noted in another does not count. */
export const PERIOD_AT = DEVICES_AT + NAME_SLOTS * NAME_BYTES;
export const CONTEXTS_AT = PERIOD_AT + 64;
export const ANSWERS_AT = CONTEXTS_AT + CONTEXT_SLOTS * MEMO_SLOT_BYTES;
export const TAILS_AT = ANSWERS_AT + ANSWER_SLOTS * MEMO_SLOT_BYTES;
/** Where the memo ends. */
const MEMO_END = TAILS_AT + MAX_TAILS * MEMO_SLOT_BYTES;

// Words of a context: what it is found by (IOMMU and device as the trace names them, PASID), the period in which it was
// noted, its class and its own class (0: the slot is free), and its head: the text of its names up to the address.
export const CONTEXT_IOMMU = 0;
export const CONTEXT_DEVICE = 1;
export const CONTEXT_PASID = 2;
export const CONTEXT_PERIOD = 3;
export const CONTEXT_CLASS = 4;
export const CONTEXT_OWN_CLASS = 5;
export const CONTEXT_HEAD = 6;
export const CONTEXT_HEAD_BYTES = 7;

// Words of an answer: class and privilege (0: the slot is free), page (of one that faults with the access in its low bits),
// period, kinds of access, which tail, and the page's physical address.
export const ANSWER_GROUP = 0;
export const ANSWER_PAGE_LO = 1;
export const ANSWER_PAGE_HI = 2;
export const ANSWER_PERIOD = 3;
export const ANSWER_ACCESS = 4;
export const ANSWER_TAIL = 5;
export const ANSWER_PA_LO = 6;
export const ANSWER_PA_HI = 7;

// Words of a tail: how often it was the answer since it was counted last, how often a right one, and to how many bytes (a
// number of 8 bytes); its text (0: there is none, whoever writes it does that by itself), and the middles of its model.
export const TAIL_COUNT = 0;
export const TAIL_MATCHES = 1;
export const TAIL_BYTES = 2;
export const TAIL_TEXT = 4;
export const TAIL_TEXT_BYTES = 5;
export const TAIL_MIDDLES = 6;
/** Of a fault: an observed one that is the same, as text, its length before it; 0: none is known. */
export const TAIL_OBSERVED = 7;

// ── pieces of text ──

export const PIECES_AT = MEMO_END + 64;
export const PIECES_BYTES = 1 << 22;
/** Longest piece: what a record needs has an end. */
export const LONGEST_PIECE = 512;
/** A table of middles: for each kind of access (8) and privilege (not given, false, true, -) where one is, and how long. */
export const MIDDLES = 32;

// ── output, and text of the trace ──

export const OUT_BYTES = 1 << 22;
export const OUT_AT = PIECES_AT + PIECES_BYTES;
/** Bytes that a record's outcome takes at most. */
export const OUTCOME_BYTES = 2560;
/** Longest `ts` that is plain. */
export const LONGEST_TS = 256;
export const TEXT_AT = OUT_AT + 2 * OUT_BYTES;
/** What is read at once, and room behind it for reads of whole words. */
export const TEXT_BYTES = (1 << 19) + 64;

// ── windows: texts that another thread has read or scanned, in turn ──

/** Words that the threads agree by. */
export const CONTROL_AT = TEXT_AT + (1 << 19) + WASM_PAGE;
/** Windows that the other thread was given, and those that it has finished: both count on. */
export const CONTROL_GIVEN = 0;
export const CONTROL_FINISHED = 1;
/** 1: a message is wanted when a window is finished, or when the thread has begun. */
export const CONTROL_WAITED_FOR = 2;
/** 1: the other thread runs. */
export const CONTROL_RUNS = 3;
/** 1: it is to end. */
export const CONTROL_END = 4;
/** How often names have been entered. */
export const CONTROL_NAMES = 5;
export const CONTROL_WORDS = 16;
/** Where the other thread begins to read: a number of 8 bytes. */
export const POSITION_AT = CONTROL_AT + 4 * CONTROL_WORDS;

export const WINDOWS = 3;
export const WINDOWS_AT = CONTROL_AT + WASM_PAGE;
/** Text that a window takes. Nothing that is shorter is too long for the room that there is for lines that are cut. */
export const WINDOW_TEXT_BYTES = 1 << 18;
/** Lines whose records it takes: what is behind them is scanned when it is needed. */
export const WINDOW_RECORDS = WINDOW_TEXT_BYTES / RECORD_BYTES;
/** Words of its head: bytes of text, how many records it has, and CONTROL_NAMES when they were scanned. */
export const WINDOW_LENGTH = 0;
export const WINDOW_COUNT = 1;
export const WINDOW_NAMES = 2;
export const WINDOW_WORDS = 16;
/** Where its records are, and its text. */
export const WINDOW_RECORDS_AT = WINDOW_WORDS * 4;
export const WINDOW_TEXT_AT = WINDOW_RECORDS_AT + WINDOW_RECORDS * RECORD_BYTES;
export const WINDOW_BYTES = WINDOW_TEXT_AT + WINDOW_TEXT_BYTES + 64;
export const BATCH_END = WINDOWS_AT + (((WINDOWS * WINDOW_BYTES) / WASM_PAGE) | 0) * WASM_PAGE + WASM_PAGE;
