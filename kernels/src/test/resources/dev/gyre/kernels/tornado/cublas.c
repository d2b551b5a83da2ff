/* The functions of cuBLAS that Gyre calls, with cuBLAS's signatures, on the host's memory: plain loops with sums in F32, and
 * the errors that cuBLAS reports. "Device" addresses are addresses of the process. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_16BF = 14, COMPUTE_32F = 68, COMPUTE_32F_FAST_TF32 = 77, GEMM_DEFAULT = -1 };

typedef struct {
    int32_t alive;
    void *stream;
} context;

static const int32_t ALIVE = 0x6379;
static int handles;

int cublasCreate_v2(context **handle) {
    *handle = calloc(1, sizeof(context));
    (*handle)->alive = ALIVE;
    (*handle)->stream = (void *) 1; /* not set */
    handles++;
    return SUCCESS;
}

int cublasDestroy_v2(context *handle) {
    if (!handle || handle->alive != ALIVE)
        return NOT_INITIALIZED;
    handle->alive = 0;
    handles--; /* not freed: a handle used later must still be recognised as closed */
    return SUCCESS;
}

int cublasSetStream_v2(context *handle, void *stream) {
    if (!handle || handle->alive != ALIVE)
        return NOT_INITIALIZED;
    handle->stream = stream;
    return SUCCESS;
}

/* For tests: how many handles are open. */
int open_handles(void) { return handles; }

/* For tests: that many calls print a line of the driver, as TornadoVM's native code does where a call of its own failed. */
static int complaints;
void complain(int calls) { complaints = calls; }

/* Rounds to that many bits of mantissa, ties to even. */
static float rounded(float x, int mantissa) {
    uint32_t bits, drop = 23 - mantissa;
    if (isnan(x))
        return x;
    memcpy(&bits, &x, 4);
    bits = (bits + (1u << (drop - 1)) - 1 + (bits >> drop & 1)) & ~0u << drop;
    memcpy(&x, &bits, 4);
    return x;
}

static float element(const void *a, int type, long at) {
    if (type == R_32F)
        return ((const float *) a)[at];
    uint32_t bits = (uint32_t) ((const uint16_t *) a)[at] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static int misfit(const void *a, int type, int ld, int rows) {
    return !a || (uintptr_t) a % (type == R_32F ? 4 : 2) || ld < (rows > 1 ? rows : 1);
}

int cublasGemmEx(context *handle, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int atype,
                 int lda, const void *b, int btype, int ldb, const void *beta, void *c, int ctype, int ldc, int compute,
                 int algo) {
    if (!handle || handle->alive != ALIVE || handle->stream == (void *) 1)
        return NOT_INITIALIZED;
    if (transa < 0 || transa > 2 || transb < 0 || transb > 2 || m < 0 || n < 0 || k < 0 ||
        misfit(a, atype, lda, transa ? k : m) || misfit(b, btype, ldb, transb ? n : k) || misfit(c, ctype, ldc, m))
        return INVALID_VALUE;
    int floats = atype == R_32F && (compute == COMPUTE_32F || compute == COMPUTE_32F_FAST_TF32);
    int brains = atype == R_16BF && compute == COMPUTE_32F;
    if (atype != btype || !(ctype == R_32F || (ctype == R_16BF && brains)) || !(floats || brains) || algo != GEMM_DEFAULT)
        return NOT_SUPPORTED;
    if (complaints && complaints--)
        printf("multiplying\n[TornadoVM-CUDA-JNI] ERROR : cuLaunchKernel -> Returned: 700 (CUDA_ERROR_ILLEGAL_ADDRESS)\n");
    int tf32 = compute == COMPUTE_32F_FAST_TF32;
    float factor = *(const float *) alpha, old = *(const float *) beta;
    for (long j = 0; j < n; j++)
        for (long i = 0; i < m; i++) {
            float sum = 0;
            for (long p = 0; p < k; p++) {
                float x = element(a, atype, transa ? p + i * lda : i + p * lda);
                float y = element(b, btype, transb ? j + p * ldb : p + j * ldb);
                sum += tf32 ? rounded(x, 10) * rounded(y, 10) : x * y;
            }
            long at = i + j * ldc;
            float value = factor * sum + (old == 0 ? 0 : old * element(c, ctype, at));
            if (ctype == R_32F) {
                ((float *) c)[at] = value;
            } else {
                uint32_t bits;
                value = rounded(value, 7);
                memcpy(&bits, &value, 4);
                ((uint16_t *) c)[at] = (uint16_t) (bits >> 16);
            }
        }
    return SUCCESS;
}
