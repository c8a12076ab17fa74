/*
 * Stores that QEMU's plugins are not told of: of the instructions that clear a block, and of those that set and copy memory.
 * QEMU carries them out on its own view of memory. Here, the page that such an instruction is about to write to is kept as it
 * is, and compared when its processor stores again, or clears again: what differs are the stores.
 *
 * Where the page is, is in the instruction's registers, as a virtual address. Which memory that is, is what other stores to
 * watched pages have shown: the kernels that are recorded have all of memory mapped with one offset. A page by another one is
 * not seen; the recorder says so at the end, where memory is not what the stores have made of it.
 */
typedef struct {
    char *data;
    unsigned int len;
} GArray;
typedef struct {
    uint8_t *data;
    unsigned int len;
} GByteArray;
struct qemu_plugin_register;
GArray *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(struct qemu_plugin_register *, GByteArray *);
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *, unsigned int);
unsigned int g_array_get_element_size(GArray *);

#define PAGE 4096
#define PROCESSORS 512
/* Watched pages that one instruction may write to. */
#define PAGES 4
/* Pages that are looked at for one instruction: those that set and copy may be about all of memory. */
#define MAX_SPAN 1024
#define GENERAL_REGISTERS 32
#define OFFSETS 16

struct bulk {
    GByteArray *value;
    unsigned int count;
    struct {
        uint64_t address;
        uint8_t before[PAGE];
    } pages[PAGES];
};
static struct bulk *bulk[PROCESSORS];

/* Virtual less guest-physical addresses of what is stored to watched pages. */
static uint64_t offsets[OFFSETS];
static unsigned int offset_count;

static void learn(uint64_t virtual_address, uint64_t address)
{
    uint64_t offset = virtual_address - address;
    unsigned int count = __atomic_load_n(&offset_count, __ATOMIC_ACQUIRE);
    /* That of a store across a page's end, or of half a pair, is none. */
    if (offset & (PAGE - 1)) {
        return;
    }
    for (unsigned int i = 0; i < count; i++) {
        if (offsets[i] == offset) {
            return;
        }
    }
    pthread_mutex_lock(&lock);
    if (offset_count == count && count < OFFSETS) {
        offsets[count] = offset;
        __atomic_store_n(&offset_count, count + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
}

/* What the instruction before has made of pages that are watched. */
static void finish_bulk(unsigned int vcpu)
{
    struct bulk *own = vcpu < PROCESSORS ? bulk[vcpu] : NULL;
    if (own == NULL || own->count == 0) {
        return;
    }
    for (unsigned int i = 0; i < own->count; i++) {
        uint64_t address = own->pages[i].address;
        const uint8_t *now = host_of(address);
        uint8_t kind = map[address / PAGE];
        for (unsigned int at = 0; now != NULL && kind != 0 && at < PAGE; at += 8) {
            uint64_t value;
            memcpy(&value, now + at, 8);
            if (memcmp(&value, own->pages[i].before + at, 8) != 0) {
                take(address + at, 8, value, 0, kind);
            }
        }
    }
    own->count = 0;
}

static void *registers[GENERAL_REGISTERS];

/* The handles of the general registers: the first that QEMU lists, in the order of their numbers. */
static bool find_registers(void)
{
    if (registers[GENERAL_REGISTERS - 2] != NULL) {
        return true;
    }
    GArray *list = qemu_plugin_get_registers();
    if (list == NULL) {
        return false;
    }
    unsigned int stride = g_array_get_element_size(list);
    for (unsigned int i = 0; i < GENERAL_REGISTERS && i < list->len; i++) {
        memcpy(&registers[i], list->data + (size_t)i * stride, sizeof registers[i]);
    }
    return registers[GENERAL_REGISTERS - 2] != NULL;
}

static uint64_t value_of(struct bulk *own, unsigned int number)
{
    uint64_t value = 0;
    g_byte_array_set_size(own->value, 0);
    qemu_plugin_read_register(registers[number], own->value);
    if (own->value->len >= sizeof value) {
        memcpy(&value, own->value->data, sizeof value);
    }
    return value;
}

static void keep(struct bulk *own, uint64_t virtual_page)
{
    unsigned int count = __atomic_load_n(&offset_count, __ATOMIC_ACQUIRE);
    for (unsigned int i = 0; i < count; i++) {
        uint64_t address = virtual_page - offsets[i];
        uint64_t frame = address / PAGE;
        const uint8_t *host = frame < map_frames && map[frame] != 0 ? host_of(address) : NULL;
        if (host == NULL) {
            continue;
        }
        if (own->count == PAGES) {
            __atomic_fetch_add(&shared->unseen, 1, __ATOMIC_RELAXED);
            return;
        }
        own->pages[own->count].address = address;
        memcpy(own->pages[own->count++].before, host, PAGE);
        return;
    }
}

/* Which registers an instruction has: a block's address; or start and size of a stretch, or its end and its negative size. */
#define NO_SIZE 0xff
struct operands {
    uint8_t address, size;
};
static struct operands of_blocks[GENERAL_REGISTERS];
static struct operands of_stretches[GENERAL_REGISTERS][GENERAL_REGISTERS];

static void about_to_write(unsigned int vcpu, void *data)
{
    if (!shared->enabled || vcpu >= PROCESSORS || __atomic_load_n(&offset_count, __ATOMIC_ACQUIRE) == 0) {
        return;
    }
    finish_bulk(vcpu);
    const struct operands *operands = data;
    struct bulk *own = bulk[vcpu];
    if (own == NULL) {
        own = calloc(1, sizeof *own);
        if (own == NULL || !find_registers()) {
            free(own);
            return;
        }
        own->value = g_byte_array_new();
        bulk[vcpu] = own;
    }
    uint64_t start = value_of(own, operands->address);
    int64_t size = operands->size == NO_SIZE ? 1 : (int64_t)value_of(own, operands->size);
    if (size < 0) {
        start += size;
        size = -size;
    }
    uint64_t first = start & ~(uint64_t)(PAGE - 1);
    uint64_t ahead = start - first;
    uint64_t span = size < MAX_SPAN * PAGE ? (uint64_t)size : MAX_SPAN * PAGE;
    for (uint64_t at = 0; size > 0 && at < ahead + span; at += PAGE) {
        keep(own, first + at);
    }
}

/* The instruction's registers; NULL for one whose stores plugins see. */
static const struct operands *operands_of(const struct qemu_plugin_insn *insn)
{
    uint32_t code;
    if ((arch != AARCH64 && arch != RISCV64) || qemu_plugin_insn_data(insn, &code, sizeof code) != sizeof code) {
        return NULL;
    }
    if (arch == RISCV64) {
        /* CBO.ZERO (RISC-V ISA, Zicboz). */
        return (code & 0xfff07fff) == 0x0040200f ? &of_blocks[(code >> 15) & 31] : NULL;
    }
    unsigned int last = code & 31, middle = (code >> 5) & 31;
    /* DC ZVA, DC GZVA (DDI 0487, C5.3); register 31 is none. */
    if ((code & 0xffffffe0) == 0xd50b7420 || (code & 0xffffffe0) == 0xd50b7480) {
        return last == 31 ? NULL : &of_blocks[last];
    }
    /* SETP, SETM, SETE and CPYP, CPYM, CPYE with all their kinds (DDI 0487, C6.2, FEAT_MOPS): Xd, Xn. */
    if ((code & 0xfb200c00) == 0x19000400 && last != 31 && middle != 31) {
        return &of_stretches[last][middle];
    }
    return NULL;
}

static void watch_bulk(struct qemu_plugin_insn *insn)
{
    const struct operands *operands = operands_of(insn);
    if (operands != NULL) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, about_to_write, READS_REGISTERS, (void *)operands);
    }
}

static void list_operands(void)
{
    for (unsigned int i = 0; i < GENERAL_REGISTERS; i++) {
        of_blocks[i] = (struct operands){i, NO_SIZE};
        for (unsigned int k = 0; k < GENERAL_REGISTERS; k++) {
            of_stretches[i][k] = (struct operands){i, k};
        }
    }
}
