/*
 * A TCG plugin for QEMU: writes the guest's stores to certain pages into QEMU's log, in order with its trace events.
 *
 * Which pages these are stands in a file that is mapped by QEMU and written by the recorder. A store to a page whose
 * entries lead to further pages, or to a register that says where such pages are, makes the virtual processor wait until the
 * recorder has looked at it: it answers with what is to be written to the log before the store, and marks the new pages.
 *
 * Lines: "iotab_begin VERSION", "iotab_store ADDRESS BYTES VALUE[ HIGH]"; the recorder's own are "iotab_page ADDRESS BYTES".
 *
 * Compiled on the user's machine, for the plugin interface of the QEMU at hand: -DPLUGIN_API=4 (QEMU 9.2 to 11.0) or 7 (since
 * 11.1). Declares what it uses of it, so that no header of QEMU is needed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What is used of QEMU's interface for plugins (docs/devel/tcg-plugins). */
#define EXPORT __attribute__((visibility("default")))
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum { NO_REGISTERS = 0, READS_REGISTERS = 1, WRITES = 2 };
typedef struct {
    int type;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low, high;
        } u128;
    } data;
} qemu_plugin_mem_value;
typedef void (*mem_callback)(unsigned int, qemu_plugin_meminfo_t, uint64_t, void *);
typedef void (*exec_callback)(unsigned int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_callback, int flags, int rw, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_callback, int flags, void *);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t, uint64_t);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t);
void qemu_plugin_outs(const char *);
#if PLUGIN_API >= 7
typedef void (*translation_callback)(struct qemu_plugin_tb *, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translation_callback, void *);
#else
typedef void (*translation_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translation_callback);
#endif

/* The mapped file (cli/record/page-map.ts): a page of this, then a byte for each 4 KiB frame of guest memory. */
#define FILE_MAGIC 0x31424154504152ull
#define MAX_RAM 64
#define MAX_REGISTERS 64
struct shared {
    uint64_t magic;
    uint64_t enabled;
    uint64_t frames;
    uint64_t ram_count;
    uint64_t register_count;
    /* Written by the plugin: stores that it could not see whole. */
    uint64_t unseen;
    struct {
        uint64_t first, bytes, host;
    } ram[MAX_RAM];
    /* Addresses of 64-bit words that are registers. */
    uint64_t registers[MAX_REGISTERS];
};
#define HEADER 4096
enum { LOGGED = 1, ASKED = 2, REGISTERS = 4 };

/* A question to the recorder; the answer is a uint32_t length and as many bytes of text. */
struct question {
    uint64_t address, bytes, value, high;
};

EXPORT int qemu_plugin_version = PLUGIN_API;

static struct shared *shared;
static uint8_t *map;
static uint64_t map_frames;
static int channel = -1;
static enum { OTHER, X86_64, AARCH64, RISCV64 } arch;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool transfer(void *data, size_t bytes, bool out)
{
    char *at = data;
    while (bytes > 0) {
        ssize_t n = out ? send(channel, at, bytes, MSG_NOSIGNAL) : recv(channel, at, bytes, 0);
        if (n <= 0) {
            /* The recorder is gone: the guest goes on without it. */
            shared->enabled = 0;
            return false;
        }
        at += n;
        bytes -= n;
    }
    return true;
}

/* Waits for the recorder's answer, and writes it to the log. */
static void ask(struct question *question)
{
    uint32_t length = 0;
    if (!transfer(question, sizeof *question, true) || !transfer(&length, sizeof length, false) || length == 0) {
        return;
    }
    char *text = malloc((size_t)length + 1);
    if (text != NULL && transfer(text, length, false)) {
        text[length] = 0;
        qemu_plugin_outs(text);
    }
    free(text);
}

static const uint8_t *host_of(uint64_t address)
{
    for (uint64_t i = 0; i < shared->ram_count && i < MAX_RAM; i++) {
        if (address - shared->ram[i].first < shared->ram[i].bytes) {
            return (const uint8_t *)(uintptr_t)(shared->ram[i].host + (address - shared->ram[i].first));
        }
    }
    return NULL;
}

static void log_piece(uint64_t address, const uint8_t *host, unsigned bytes)
{
    char line[96];
    uint64_t low = 0, high = 0;
    memcpy(&low, host, bytes < 8 ? bytes : 8);
    if (bytes == 16) {
        memcpy(&high, host + 8, 8);
        snprintf(line, sizeof line, "iotab_store 0x%" PRIx64 " 16 0x%" PRIx64 " 0x%" PRIx64 "\n", address, low, high);
    } else {
        snprintf(line, sizeof line, "iotab_store 0x%" PRIx64 " %u 0x%" PRIx64 "\n", address, bytes, low);
    }
    qemu_plugin_outs(line);
}

/* What lies in memory now is what was stored: whatever the instruction was. */
static void log_store(uint64_t address, unsigned bytes)
{
    const uint8_t *host = host_of(address);
    unsigned here = 4096 - (address & 4095);
    if (host == NULL || bytes > here) {
        __atomic_fetch_add(&shared->unseen, 1, __ATOMIC_RELAXED);
        if (host == NULL) {
            return;
        }
        bytes = here;
    }
    while (bytes > 0) {
        unsigned piece = bytes >= 16 ? 16 : bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
        log_piece(address, host, piece);
        address += piece;
        host += piece;
        bytes -= piece;
    }
}

static bool is_register(uint64_t address)
{
    for (uint64_t i = 0; i < shared->register_count && i < MAX_REGISTERS; i++) {
        if (shared->registers[i] == (address & ~7ull)) {
            return true;
        }
    }
    return false;
}

/* Of an instruction whose store of 16 bytes QEMU may carry out as two of 8, where nobody can see the one without the other. */
static char pair;
#define PAIR ((void *)&pair)

/* A store to a page of this kind has been carried out. */
static void take(uint64_t address, unsigned bytes, uint64_t value, uint64_t high, uint8_t kind)
{
    pthread_mutex_lock(&lock);
    if (kind & (ASKED | REGISTERS)) {
        struct question question = {address, bytes, value, high};
        ask(&question);
    }
    if (kind & LOGGED) {
        log_store(address, bytes);
    }
    pthread_mutex_unlock(&lock);
}

#include "bulk.h"

static void stored(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t virtual_address, void *data)
{
    if (!shared->enabled) {
        return;
    }
    finish_bulk(vcpu);
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, virtual_address);
    if (where == NULL) {
        __atomic_fetch_add(&shared->unseen, 1, __ATOMIC_RELAXED);
        return;
    }
    uint64_t address = qemu_plugin_hwaddr_phys_addr(where);
    uint64_t frame = address >> 12;
    uint8_t kind = frame < map_frames ? map[frame] : 0;
    if (kind == 0) {
        return;
    }
    unsigned bytes = 1u << qemu_plugin_mem_size_shift(info);
    if (data == PAIR && bytes == 8) {
        /* The lower half comes first, and only then is the whole in memory. */
        if ((address & 8) == 0) {
            return;
        }
        address -= 8;
        bytes = 16;
    }
    if ((kind & REGISTERS) && !is_register(address)) {
        return;
    }
    if (!(kind & REGISTERS)) {
        learn(virtual_address, address);
    }
    qemu_plugin_mem_value value = {0};
    if (kind & (ASKED | REGISTERS)) {
        value = qemu_plugin_mem_get_value(info);
    }
    uint64_t mask = bytes >= 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
    take(address, bytes, value.data.u64 & mask, bytes == 16 ? value.data.u128.high : 0, kind);
}


/* CMPXCHG16B: 0F C7 /1 behind its prefixes, with REX.W (SDM 2A). */
static bool is_pair(const struct qemu_plugin_insn *insn)
{
    uint8_t code[8];
    bool wide = false;
    size_t n = arch == X86_64 ? qemu_plugin_insn_data(insn, code, sizeof code) : 0;
    for (size_t i = 0; i + 2 < n; i++) {
        if (code[i] == 0x0f) {
            return wide && code[i + 1] == 0xc7 && ((code[i + 2] >> 3) & 7) == 1;
        }
        wide = (code[i] & 0xf8) == 0x48;
        if (!wide && (code[i] & 0xf0) != 0x40 && code[i] != 0xf0 && (code[i] & 0xfe) != 0x64) {
            return false;
        }
    }
    return false;
}

static void instrument(struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_mem_cb(insn, stored, NO_REGISTERS, WRITES, is_pair(insn) ? PAIR : NULL);
        watch_bulk(insn);
    }
}

#if PLUGIN_API >= 7
static void translated(struct qemu_plugin_tb *tb, void *data)
{
    (void)data;
    instrument(tb);
}
#else
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    instrument(tb);
}
#endif

static bool open_map(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size <= HEADER) {
        return false;
    }
    void *at = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) {
        return false;
    }
    shared = at;
    map = (uint8_t *)at + HEADER;
    map_frames = stat.st_size - HEADER;
    return shared->magic == FILE_MAGIC;
}

static bool open_channel(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    strcpy(address.sun_path, path);
    channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return channel >= 0 && connect(channel, (struct sockaddr *)&address, sizeof address) == 0;
}

/* `info` begins with the name of what is emulated. */
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const char *const *info, int argc, char **argv)
{
    bool ready = false;
    const char *socket_path = NULL;
    arch = strcmp(*info, "x86_64") == 0    ? X86_64
           : strcmp(*info, "aarch64") == 0 ? AARCH64
           : strcmp(*info, "riscv64") == 0 ? RISCV64
                                           : OTHER;
    list_operands();
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "map=", 4) == 0) {
            ready = open_map(argv[i] + 4);
        } else if (strncmp(argv[i], "socket=", 7) == 0) {
            socket_path = argv[i] + 7;
        }
    }
    if (!ready || socket_path == NULL || !open_channel(socket_path)) {
        fprintf(stderr, "stores: expected map=FILE and socket=PATH of a recorder\n");
        return 1;
    }
    qemu_plugin_outs("iotab_begin 1\n");
#if PLUGIN_API >= 7
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
#else
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
#endif
    return 0;
}
