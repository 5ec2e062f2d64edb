// Q4_1 weights times prompts and outputs, for two rows of weights and two tokens at once.
//
// llama.cpp 0.3.36's kernel for this type takes one row and one token, and unpacks the row anew for each of a batch's
// tokens. This one unpacks it for two. It adds up in the same order, so the sums are equal to the last bit; that is
// tried before llama.cpp is told of it, and it is not told if one differs. x86 with AVX2, FMA and F16C.

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ggml-cpu.h"
#include "ggml.h"

enum { BLOCK = 32, TRIED_BLOCKS = 64 };

// Half-precision scales: a weight is d * q + m; s is d times the sum of q.
typedef struct {
    uint16_t d, m;
    uint8_t q[BLOCK / 2];
} weights;

typedef struct {
    uint16_t d, s;
    int8_t q[BLOCK];
} inputs;

static ggml_vec_dot_t one_by_one;

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

// The sums go to s[row + stride * token].
static void two_by_two(int n, float *s, size_t stride, const weights *w0, const weights *w1, const inputs *x0,
                       const inputs *x1) {
    __m256 s00 = _mm256_setzero_ps(), s10 = s00, s01 = s00, s11 = s00;
    __m128 rest = _mm_setzero_ps();
    for (int i = 0; i < n / BLOCK; i++) {
        __m128i halves = _mm_cvtsi32_si128(scales(w0 + i));
        halves = _mm_insert_epi32(halves, scales(w1 + i), 1);
        halves = _mm_insert_epi32(halves, scales(x0 + i), 2);
        halves = _mm_insert_epi32(halves, scales(x1 + i), 3);
        __m256 all = _mm256_cvtph_ps(halves);
        __m128 w = _mm256_castps256_ps128(all), x = _mm256_extractf128_ps(all, 1);
        // Lanes: row 0 and 1 for token 0, row 0 and 1 for token 1.
        __m128 d = _mm_mul_ps(_mm_shuffle_ps(w, w, _MM_SHUFFLE(2, 0, 2, 0)), _mm_shuffle_ps(x, x, _MM_SHUFFLE(2, 2, 0, 0)));
        rest = _mm_fmadd_ps(_mm_shuffle_ps(w, w, _MM_SHUFFLE(3, 1, 3, 1)), _mm_shuffle_ps(x, x, _MM_SHUFFLE(3, 3, 1, 1)), rest);
        __m256i q0 = unpacked(w0[i].q), q1 = unpacked(w1[i].q);
        __m256i v0 = _mm256_loadu_si256((const __m256i *)x0[i].q), v1 = _mm256_loadu_si256((const __m256i *)x1[i].q);
        s00 = _mm256_fmadd_ps(_mm256_broadcastss_ps(d), products(q0, v0), s00);
        s10 = _mm256_fmadd_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(d)), products(q1, v0), s10);
        s01 = _mm256_fmadd_ps(_mm256_broadcastss_ps(_mm_movehl_ps(d, d)), products(q0, v1), s01);
        s11 = _mm256_fmadd_ps(_mm256_broadcastss_ps(_mm_shuffle_ps(d, d, _MM_SHUFFLE(3, 3, 3, 3))), products(q1, v1), s11);
    }
    float rests[4];
    _mm_storeu_ps(rests, rest);
    s[0] = sum(s00) + rests[0];
    s[1] = sum(s10) + rests[1];
    s[stride] = sum(s01) + rests[2];
    s[stride + 1] = sum(s11) + rests[3];
}

static const void *after(const void *row, size_t bytes) { return (const char *)row + bytes; }

// ggml's signature of a kernel: `rows` is how many rows and tokens to take, a stride of bytes apart.
static void by_pairs(int n, float *s, size_t bs, const void *vx, size_t bx, const void *vy, size_t by, int rows) {
    if (rows == 2)
        two_by_two(n, s, bs, vx, after(vx, bx), vy, after(vy, by));
    else
        one_by_one(n, s, bs, vx, bx, vy, by, rows);
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

// Whether four sums are those of the kernel that is there, to the last bit.
static int is_equal(ggml_vec_dot_t theirs) {
    static weights w[2][TRIED_BLOCKS];
    static inputs x[2][TRIED_BLOCKS];
    make_up(w, sizeof w, sizeof(weights));
    make_up(x, sizeof x, sizeof(inputs));
    for (int blocks = 1; blocks <= TRIED_BLOCKS; blocks++) {
        float ours[4], other;
        two_by_two(blocks * BLOCK, ours, 2, w[0], w[1], x[0], x[1]);
        for (int row = 0; row < 2; row++)
            for (int token = 0; token < 2; token++) {
                theirs(blocks * BLOCK, &other, 0, w[row], 0, x[token], 0, 1);
                if (memcmp(&other, &ours[row + 2 * token], sizeof other))
                    return 0;
            }
    }
    return 1;
}

// Has llama.cpp compute by pairs; whether it does now. `kernels` is its own entry for the type, which it keeps read-only.
int q4_1_by_pairs(struct ggml_type_traits_cpu *kernels) {
    if (kernels->vec_dot == by_pairs)
        return 1;
    if (kernels->vec_dot_type != GGML_TYPE_Q8_1 || kernels->nrows != 1 || !is_equal(kernels->vec_dot))
        return 0;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)kernels / page * page, end = ((uintptr_t)(kernels + 1) + page - 1) / page * page;
    if (mprotect((void *)start, end - start, PROT_READ | PROT_WRITE))
        return 0;
    one_by_one = kernels->vec_dot;
    kernels->vec_dot = by_pairs;
    kernels->nrows = 2;
    mprotect((void *)start, end - start, PROT_READ);
    return 1;
}
