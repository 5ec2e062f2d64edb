// Q4_1 weights times prompts and outputs, for four rows of weights and two tokens at once.
//
// llama.cpp's kernel for this type takes one row and one token, and unpacks the row and its scales anew for each of a
// batch's tokens. This one unpacks them once, and the tokens' scales once for all rows. It adds up in the same order, so
// the sums are equal to the last bit; that is tried before llama.cpp is told of it, and it is not told if one differs.
// x86 with AVX2, FMA and F16C.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <immintrin.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ggml-cpu.h"
#include "ggml.h"

enum { BLOCK = 32, ROWS = 4, TOKENS = 2, MOST_BLOCKS = 1024, PANEL_BLOCKS = 3072 };

// Half-precision scales: a weight is d * q + m; s is d times the sum of q.
typedef struct {
    uint16_t d, m;
    uint8_t q[BLOCK / 2];
} weights;

typedef struct {
    uint16_t d, s;
    int8_t q[BLOCK];
} inputs;

// One block of four rows. `scales` alternate: d and m of row 0, of row 1…
typedef struct {
    __m256i q[ROWS];
    __m256 scales;
} unpacked_rows;

// One block of two tokens. `d` and `s` alternate: token 0, token 1, four times.
typedef struct {
    __m256i q[TOKENS];
    __m256 d, s;
} unpacked_tokens;

static __thread unpacked_rows rows_of_a_tile[MOST_BLOCKS];
static __thread unpacked_tokens panel[PANEL_BLOCKS];

static __m256i unpacked(const uint8_t *q) {
    __m128i both = _mm_loadu_si128((const __m128i *)q);
    __m256i wide = _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
    return _mm256_and_si256(_mm256_set1_epi8(15), wide);
}

static __m256 products(__m256i weight, __m256i input) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), weight, input));
#else
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_set1_epi16(1), _mm256_maddubs_epi16(weight, input)));
#endif
}

static float sum(__m256 parts) {
    __m128 four = _mm_add_ps(_mm256_extractf128_ps(parts, 1), _mm256_castps256_ps128(parts));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static int scales(const void *block) {
    int both;
    memcpy(&both, block, sizeof both);
    return both;
}

static void unpack_rows(int64_t blocks, const weights *const w[ROWS]) {
    for (int64_t at = 0; at < blocks; at++) {
        __m128i halves = _mm_cvtsi32_si128(scales(w[0] + at));
        halves = _mm_insert_epi32(halves, scales(w[1] + at), 1);
        halves = _mm_insert_epi32(halves, scales(w[2] + at), 2);
        halves = _mm_insert_epi32(halves, scales(w[3] + at), 3);
        rows_of_a_tile[at].scales = _mm256_cvtph_ps(halves);
        for (int row = 0; row < ROWS; row++)
            rows_of_a_tile[at].q[row] = unpacked(w[row][at].q);
    }
}

static void unpack_tokens(int64_t blocks, const inputs *const x[TOKENS], unpacked_tokens *to) {
    for (int64_t at = 0; at < blocks; at++) {
        __m128i halves = _mm_insert_epi32(_mm_cvtsi32_si128(scales(x[0] + at)), scales(x[1] + at), 1);
        __m128 both = _mm_cvtph_ps(halves);
        to[at].d = _mm256_set_m128(_mm_permute_ps(both, 0x88), _mm_permute_ps(both, 0x88));
        to[at].s = _mm256_set_m128(_mm_permute_ps(both, 0xdd), _mm_permute_ps(both, 0xdd));
        for (int token = 0; token < TOKENS; token++)
            to[at].q[token] = _mm256_loadu_si256((const __m256i *)x[token][at].q);
    }
}

// The sums of four rows and of one token or two, in `sums[row][token]`.
static inline __attribute__((always_inline)) void tile(int64_t blocks, const unpacked_tokens *x, const int tokens,
                                                       float sums[ROWS][TOKENS]) {
    __m256 parts[ROWS][TOKENS], rest = _mm256_setzero_ps();
    for (int row = 0; row < ROWS; row++)
        for (int token = 0; token < tokens; token++)
            parts[row][token] = _mm256_setzero_ps();
    for (int64_t at = 0; at < blocks; at++) {
        const unpacked_rows *w = rows_of_a_tile + at;
        float d[ROWS][TOKENS] __attribute__((aligned(32)));
        _mm256_store_ps(&d[0][0], _mm256_mul_ps(_mm256_moveldup_ps(w->scales), x[at].d));
        rest = _mm256_fmadd_ps(_mm256_movehdup_ps(w->scales), x[at].s, rest);
        // Kept in registers: compilers would rather read them again for each product, and reading is what takes longest.
        __m256i x0 = x[at].q[0], x1 = x[at].q[1];
        __asm__("" : "+x"(x0), "+x"(x1));
        for (int row = 0; row < ROWS; row++) {
            __m256i q = w->q[row];
            __asm__("" : "+x"(q));
            parts[row][0] = _mm256_fmadd_ps(_mm256_broadcast_ss(&d[row][0]), products(q, x0), parts[row][0]);
            if (tokens == TOKENS)
                parts[row][1] = _mm256_fmadd_ps(_mm256_broadcast_ss(&d[row][1]), products(q, x1), parts[row][1]);
        }
    }
    _mm256_storeu_ps(&sums[0][0], rest);
    for (int row = 0; row < ROWS; row++)
        for (int token = 0; token < tokens; token++)
            sums[row][token] += sum(parts[row][token]);
}

// Every thread computes its share of the rows, for all tokens. Strides are in blocks, and in sums for the result.
static void multiply(int64_t rows, int64_t tokens, int64_t blocks, const weights *w, int64_t w_stride, const inputs *x,
                     int64_t x_stride, float *sums, int64_t sums_stride, int thread, int threads) {
    int64_t tiles = (rows + ROWS - 1) / ROWS;
    int64_t first = tiles * thread / threads * ROWS, end = tiles * (thread + 1) / threads * ROWS;
    int64_t at_once = PANEL_BLOCKS / blocks * TOKENS;
    for (int64_t from = 0; from < tokens; from += at_once) {
        int64_t to = from + at_once < tokens ? from + at_once : tokens;
        for (int64_t token = from; token < to; token += TOKENS) {
            // An odd last one goes along with itself.
            const inputs *pair[TOKENS] = {x + token * x_stride, x + (token + 1 < to ? token + 1 : token) * x_stride};
            unpack_tokens(blocks, pair, panel + (token - from) / TOKENS * blocks);
        }
        for (int64_t row = first; row < end && row < rows; row += ROWS) {
            const weights *four[ROWS];
            for (int at = 0; at < ROWS; at++)
                four[at] = w + (row + at < rows ? row + at : rows - 1) * w_stride;
            unpack_rows(blocks, four);
            int here = rows - row < ROWS ? (int)(rows - row) : ROWS;
            for (int64_t token = from; token < to; token += TOKENS) {
                float made[ROWS][TOKENS];
                const unpacked_tokens *pair = panel + (token - from) / TOKENS * blocks;
                int count = to - token < TOKENS ? 1 : TOKENS;
                if (count == TOKENS)
                    tile(blocks, pair, TOKENS, made);
                else
                    tile(blocks, pair, 1, made);
                for (int one = 0; one < count; one++)
                    for (int at = 0; at < here; at++)
                        sums[row + at + (token + one) * sums_stride] = made[at][one];
            }
        }
    }
}

// llama.cpp's function for products of whole matrices, which for types that it does not know returns false.
typedef bool sgemm(const int *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                   int64_t ldb, void *c, int64_t ldc, int a_type, int b_type, int c_type);

static sgemm *theirs;

static bool ours(const int *params, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b,
                 int64_t ldb, void *c, int64_t ldc, int a_type, int b_type, int c_type) {
    // One token alone is no faster with ours: what is unpacked would be used once.
    if (a_type != GGML_TYPE_Q4_1 || b_type != GGML_TYPE_Q8_1 || c_type != GGML_TYPE_F32 || n == 1 || k > MOST_BLOCKS)
        return theirs(params, m, n, k, a, lda, b, ldb, c, ldc, a_type, b_type, c_type);
    // The parameters begin with the thread's number, and how many there are.
    multiply(m, n, k, a, lda, b, ldb, c, ldc, params[0], params[1]);
    return true;
}

static void make_up(void *blocks, size_t bytes, size_t block) {
    unsigned state = 1;
    for (size_t at = 0; at < bytes; at++)
        ((uint8_t *)blocks)[at] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    // Bytes at random may be half-precision scales that are no numbers: a bit of the exponent less, and they are.
    for (size_t at = 0; at < bytes; at += block) {
        ((uint8_t *)blocks)[at + 1] &= 0xbf;
        ((uint8_t *)blocks)[at + 3] &= 0xbf;
    }
}

// Whether sums of rows and tokens, in whole tiles and not, are those of llama.cpp's kernel to the last bit.
static bool is_equal(ggml_vec_dot_t kernel) {
    enum { TRIED_ROWS = ROWS + 1, TRIED_TOKENS = TOKENS + 1, TRIED_BLOCKS = 64 };
    static weights w[TRIED_ROWS][TRIED_BLOCKS];
    static inputs x[TRIED_TOKENS][TRIED_BLOCKS];
    make_up(w, sizeof w, sizeof(weights));
    make_up(x, sizeof x, sizeof(inputs));
    for (int blocks = 1; blocks <= TRIED_BLOCKS; blocks++) {
        float sums[TRIED_TOKENS][TRIED_ROWS], other;
        for (int thread = 0; thread < 2; thread++)
            multiply(TRIED_ROWS, TRIED_TOKENS, blocks, w[0], TRIED_BLOCKS, x[0], TRIED_BLOCKS, sums[0], TRIED_ROWS, thread, 2);
        for (int row = 0; row < TRIED_ROWS; row++)
            for (int token = 0; token < TRIED_TOKENS; token++) {
                kernel(blocks * BLOCK, &other, 0, w[row], 0, x[token], 0, 1);
                if (memcmp(&other, &sums[token][row], sizeof other))
                    return false;
            }
    }
    return true;
}

// A library that is looked for by the address it lies at, and where it keeps the address of a function it calls.
typedef struct {
    uintptr_t base;
    const char *function;
    void **slot;
    bool is_read_only;
} search;

static int find_slot(struct dl_phdr_info *library, size_t size, void *context) {
    search *wanted = context;
    (void)size;
    if (library->dlpi_addr != wanted->base)
        return 0;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) *calls = NULL;
    size_t bytes = 0;
    for (int at = 0; at < library->dlpi_phnum; at++) {
        if (library->dlpi_phdr[at].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const void *)(library->dlpi_addr + library->dlpi_phdr[at].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_SYMTAB)
                symbols = (const void *)entry->d_un.d_ptr;
            else if (entry->d_tag == DT_STRTAB)
                names = (const void *)entry->d_un.d_ptr;
            else if (entry->d_tag == DT_JMPREL)
                calls = (const void *)entry->d_un.d_ptr;
            else if (entry->d_tag == DT_PLTRELSZ)
                bytes = entry->d_un.d_val;
        }
    }
    if (!symbols || !names || !calls)
        return 1;
    for (size_t at = 0; at < bytes / sizeof *calls; at++)
        if (!strcmp(names + symbols[ELF64_R_SYM(calls[at].r_info)].st_name, wanted->function))
            wanted->slot = (void **)(library->dlpi_addr + calls[at].r_offset);
    for (int at = 0; at < library->dlpi_phnum; at++) {
        const ElfW(Phdr) *part = library->dlpi_phdr + at;
        uintptr_t into = (uintptr_t)wanted->slot - library->dlpi_addr - part->p_vaddr;
        wanted->is_read_only |= part->p_type == PT_GNU_RELRO && into < part->p_memsz;
    }
    return 1;
}

// Has llama.cpp call our function instead of its own; NULL if it does now, or else why not. `library` is the address of
// anything in llama.cpp's library for processors, `kernels` its entry for the type.
const char *q4_1_install(const void *library, const struct ggml_type_traits_cpu *kernels) {
    if (kernels->vec_dot_type != GGML_TYPE_Q8_1 || kernels->nrows != 1 || !is_equal(kernels->vec_dot))
        return "its sums are others than ours";
    Dl_info found;
    if (!dladdr(library, &found))
        return "it is in no library";
    search wanted = {(uintptr_t)found.dli_fbase, "llamafile_sgemm", NULL, false};
    dl_iterate_phdr(find_slot, &wanted);
    void *handle = dlopen(found.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    sgemm *original = handle ? (sgemm *)dlsym(handle, wanted.function) : NULL;
    if (!wanted.slot || !original)
        return "it calls no function for whole matrices";
    if (*wanted.slot == (void *)ours)
        return NULL;
    uintptr_t bytes = (uintptr_t)sysconf(_SC_PAGESIZE), page = (uintptr_t)wanted.slot / bytes * bytes;
    if (wanted.is_read_only && mprotect((void *)page, bytes, PROT_READ | PROT_WRITE))
        return "its memory cannot be written to";
    theirs = original;
    *wanted.slot = (void *)ours;
    if (wanted.is_read_only)
        mprotect((void *)page, bytes, PROT_READ);
    return NULL;
}
