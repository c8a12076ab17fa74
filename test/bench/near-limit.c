/*
 * How fast one core can be at all: finds the fields of `dma` records in the order in which the generators write them, walks a
 * PASID table that is bound by its address (VT-d 5.10, 9.5 to 9.7: directory, table, four levels of 4 KiB pages), and writes
 * lines like those of a replay. Nothing is checked, nothing is kept of caches, no other record is known. Requests of a trace
 * that binds no table go to where they are for. For test/bench/end-to-end.ts:
 *
 *     cc -O3 -march=native near-limit.c -o near-limit && ./near-limit trace.ndjson
 */
#define _GNU_SOURCE // memmem
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAME_SHIFT = 12, FRAMES = 1 << 20, OUT_BYTES = 1 << 18, LONGEST_LINE = 1024 };

static uint8_t *memory[FRAMES];
static char out[OUT_BYTES];
static size_t filled;

struct answer {
  int fault;
  uint64_t address, entry;
  int level, reads;
};

static uint64_t word_at(uint64_t address) {
  const uint8_t *frame = address >> 32 ? NULL : memory[address >> FRAME_SHIFT];
  uint64_t word = 0;
  if (frame) memcpy(&word, frame + (address & 4088), sizeof word);
  return word;
}

static struct answer walk(uint64_t directory, uint64_t pasid, uint64_t address, int write) {
  const uint64_t pointer = 0xffffffffff000;
  uint64_t table = word_at(directory + (pasid >> 6) * 8);
  if (!(table & 1)) return (struct answer){0x51, 0, table, 0, 1};
  uint64_t entry = (table & pointer) + (pasid & 63) * 64;
  if (!(word_at(entry) & 1)) return (struct answer){0x59, 0, word_at(entry), 0, 2};
  uint64_t next = word_at(entry + 16) & pointer, rights = 6;
  for (int level = 4;; level--) {
    uint64_t at = word_at(next + (address >> (3 + 9 * level) & 511) * 8);
    int reads = 7 - level;
    if (!(at & 1)) return (struct answer){0x71, 0, at, level, reads};
    rights &= at;
    next = at & pointer;
    if (level > 1) continue;
    if (write && !(rights & 2)) return (struct answer){0x85, 0, at, level, reads};
    return (struct answer){0, next | (address & 4095), at, level, reads};
  }
}

static void flush(void) {
  for (size_t at = 0; at < filled;) {
    ssize_t n = write(STDOUT_FILENO, out + at, filled - at);
    if (n < 0) exit(1);
    at += (size_t)n;
  }
  filled = 0;
}

static void text(const char *from, size_t n) {
  memcpy(out + filled, from, n);
  filled += n;
}
#define LITERAL(s) text(s, sizeof(s) - 1)

static void decimal(uint64_t value) {
  char digits[20];
  int at = sizeof digits;
  do digits[--at] = (char)('0' + value % 10);
  while (value /= 10);
  text(digits + at, sizeof digits - at);
}

static void hexadecimal(uint64_t value) {
  char digits[16];
  int at = sizeof digits;
  do digits[--at] = "0123456789abcdef"[value & 15];
  while (value >>= 4);
  text(digits + at, sizeof digits - at);
}

static inline int digit(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }
static inline uint64_t hex_at(const char *p) {
  uint64_t value = 0;
  for (; *p != '"'; p++) value = value << 4 | (uint64_t)digit(*p);
  return value;
}

/* Behind the name of a field, from a place on; NULL where the line has none. */
static inline const char *field(const char *from, const char *end, const char *name, size_t n) {
  const char *at = memmem(from, (size_t)(end - from), name, n);
  return at ? at + n : NULL;
}
#define FIELD(from, name) field(from, end, name, sizeof(name) - 1)

static void request(const char *line, const char *end, uint64_t number, uint64_t directory) {
  const char *device = FIELD(line, "\"dev\":\""), *pasid = FIELD(device, "\"pasid\":");
  const char *address = FIELD(device, "\"addr\":\"0x"), *access = FIELD(address, "\"access\":\"");
  const char *device_end = memchr(device, '"', (size_t)(end - device));
  uint64_t where = hex_at(address);
  struct answer answer = {0, where, 0, 1, 1};
  if (directory) answer = walk(directory, pasid ? strtoull(pasid, NULL, 10) : 0, where, *access == 'w');
  if (filled > OUT_BYTES - LONGEST_LINE) flush();
  LITERAL("{\"type\":\"outcome\",\"line\":");
  decimal(number);
  LITERAL(",\"dev\":\"");
  text(device, (size_t)(device_end - device));
  LITERAL("\",\"addr\":\"0x");
  hexadecimal(where);
  LITERAL("\",\"access\":\"");
  text(access, 1);
  if (answer.fault) {
    LITERAL("\",\"model\":\"intel\",\"result\":\"fault\",\"code\":\"0x");
    hexadecimal((uint64_t)answer.fault);
    LITERAL("\",\"level\":");
    decimal((uint64_t)answer.level);
    LITERAL(",\"entry\":\"0x");
    hexadecimal(answer.entry);
  } else {
    LITERAL("\",\"model\":\"intel\",\"result\":\"ok\",\"pa\":\"0x");
    hexadecimal(answer.address);
    LITERAL("\",\"page\":4096,\"perm\":\"rwx");
  }
  LITERAL("\",\"reads\":");
  decimal((uint64_t)answer.reads);
  LITERAL("}\n");
}

static void write_memory(const char *line, const char *end) {
  const char *address = FIELD(line, "\"addr\":\"0x"), *data = FIELD(address, "\"data\":\"");
  for (uint64_t at = hex_at(address); data && *data != '"'; data += 2, at++) {
    uint8_t **frame = &memory[at >> FRAME_SHIFT & (FRAMES - 1)];
    if (!*frame && !(*frame = calloc(1, 4096))) exit(1);
    (*frame)[at & 4095] = (uint8_t)(digit(data[0]) << 4 | digit(data[1]));
  }
}

int main(int count, char **arguments) {
  struct stat stat;
  int file = count == 2 ? open(arguments[1], O_RDONLY) : -1;
  if (file < 0 || fstat(file, &stat) < 0) return 2;
  const char *text_of_all = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (text_of_all == MAP_FAILED) return 2;
  const char *last = text_of_all + stat.st_size;
  uint64_t directory = 0, number = 0;
  for (const char *line = text_of_all, *end; line < last; line = end + 1) {
    end = memchr(line, '\n', (size_t)(last - line));
    if (!end) break;
    number++;
    /* {"type":"… */
    if (line[9] == 'd') request(line, end, number, directory);
    else if (line[9] == 'm') write_memory(line, end);
    else if (line[9] == 'b') directory = hex_at(FIELD(line, "\"base_ptr\":\"0x"));
  }
  flush();
  return 0;
}
