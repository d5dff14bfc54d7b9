/* The floor of scoring: what a C program needs that inflates every mask of an archive, checks its CRC, compares
 * its metadata with the first mask's, and counts TP, FP and FN against labels in memory. It believes the
 * archive's directory, knows where the pixels lie, and checks nothing else: not to be used for scoring.
 *
 * cc -O3 -march=native -DLIBDEFLATE floor.c -l:libdeflate.so.0 -o floor     (or without LIBDEFLATE, with -lz)
 * floor ARCHIVE LABELS MASKS PIXELS OFFSET: for each line on stdin, one round from disk to counts; prints
 * "tp fp fn cpu_seconds". LABELS: raw bytes 0 and 1. OFFSET: where the pixels begin in each file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef LIBDEFLATE
/* The two functions of libdeflate that are used, declared here so that its header need not be installed. */
struct libdeflate_decompressor;
struct libdeflate_decompressor *libdeflate_alloc_decompressor(void);
int libdeflate_deflate_decompress(struct libdeflate_decompressor *, const void *, size_t, void *, size_t, size_t *);
uint32_t libdeflate_crc32(uint32_t, const void *, size_t);
static struct libdeflate_decompressor *state;
static void prepare(void) { state = libdeflate_alloc_decompressor(); }
static int inflate_all(const uint8_t *in, size_t n, uint8_t *out, size_t size) {
    size_t got;
    return libdeflate_deflate_decompress(state, in, n, out, size, &got) == 0 && got == size;
}
static uint32_t crc(const uint8_t *data, size_t n) { return libdeflate_crc32(0, data, n); }
#else
#include <zlib.h>
static z_stream state;
static void prepare(void) { inflateInit2(&state, -15); }
static int inflate_all(const uint8_t *in, size_t n, uint8_t *out, size_t size) {
    inflateReset(&state);
    state.next_in = (uint8_t *)in, state.avail_in = n, state.next_out = out, state.avail_out = size;
    return inflate(&state, Z_FINISH) == Z_STREAM_END && state.avail_out == 0;
}
static uint32_t crc(const uint8_t *data, size_t n) { return crc32(0, data, n); }
#endif

/* Fast loops of inflaters stop some bytes before the input's end, and the whole of an empty mask is one run of zeros
 * in the last bytes: more input behind it makes those several times faster. The archive's directory is there. */
#define SLACK 300

static uint32_t u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint16_t u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static void fail(const char *what) { fprintf(stderr, "floor: %s\n", what); exit(1); }

static uint8_t *slurp(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    uint8_t *data = calloc(1, *size + 2 * 300);
    if (fread(data, 1, *size, file) != *size) fail(path);
    fclose(file);
    return data;
}

static void count(const uint8_t *p, const uint8_t *t, size_t n, uint64_t *tp, uint64_t *fp, uint64_t *fn) {
    uint64_t both = 0, positive = 0, relevant = 0;
    for (size_t i = 0; i < n; i += 8) { /* bytes are 0 or 1, so that set bits are pixels */
        uint64_t a, b;
        memcpy(&a, p + i, 8), memcpy(&b, t + i, 8);
        both += __builtin_popcountll(a & b), positive += __builtin_popcountll(a), relevant += __builtin_popcountll(b);
    }
    *tp += both, *fp += positive - both, *fn += relevant - both;
}

static void one_round(char **argv, const uint8_t *labels) {
    size_t size, pixels = atol(argv[4]), offset = atol(argv[5]);
    uint8_t *zip = slurp(argv[1], &size), *end = zip + size - 22;
    static uint8_t first[1 << 22], content[1 << 22];
    size_t first_size = 0;
    uint64_t tp = 0, fp = 0, fn = 0;
    while (u32(end) != 0x06054b50) end--;
    const uint8_t *entry = zip + u32(end + 16);
    for (int i = 0, n = u16(end + 10); i < n; i++) {
        const uint8_t *local = zip + u32(entry + 42), *data = local + 30 + u16(local + 26) + u16(local + 28);
        size_t stored = u32(entry + 20), full = u32(entry + 24);
        if (full > sizeof content) fail("a file is too large");
        if (u16(entry + 10) == 0) memcpy(content, data, full);
        else if (!inflate_all(data, stored + SLACK, content, full)) fail("a file does not inflate");
        if (crc(content, full) != u32(entry + 16)) fail("a check sum is wrong");
        if (!first_size) memcpy(first, content, first_size = full);
        if (full != first_size || memcmp(content, first, offset) ||
            memcmp(content + offset + pixels, first + offset + pixels, full - offset - pixels))
            fail("a file is laid out otherwise than the first");
        int number = atoi((const char *)entry + 46 + 5);
        if (number < 1 || number > atoi(argv[3])) fail("a name is none of a mask");
        count(content + offset, labels + (number - 1) * pixels, pixels, &tp, &fp, &fn);
        entry += 46 + u16(entry + 28) + u16(entry + 30) + u16(entry + 32);
    }
    free(zip);
    printf("%llu %llu %llu ", (unsigned long long)tp, (unsigned long long)fp, (unsigned long long)fn);
}

int main(int argc, char **argv) {
    char line[16];
    size_t size;
    if (argc != 6) fail("usage: floor ARCHIVE LABELS MASKS PIXELS OFFSET");
    const uint8_t *labels = slurp(argv[2], &size);
    prepare();
    while (fgets(line, sizeof line, stdin)) {
        struct timespec a, b;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        one_round(argv, labels);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        printf("%.9f\n", b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) * 1e-9);
        fflush(stdout);
    }
    return 0;
}
