/* Preloaded, makes one launch of a kernel fail: that with the number in FAIL_AT, counted from 1. TornadoVM prints the error and
 * goes on. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef int32_t launch(void *, void *, uint32_t, const size_t *, const size_t *, const size_t *, uint32_t, void *const *, void **);

int32_t clEnqueueNDRangeKernel(void *queue, void *kernel, uint32_t dimensions, const size_t *offset, const size_t *global,
                               const size_t *local, uint32_t n, void *const *wait, void **event) {
    static launch *real;
    static long launches;
    if (!real) /* the JVM loaded it for TornadoVM's library only, where RTLD_NEXT does not look */
        real = (launch *) dlsym(dlopen("libOpenCL.so.1", RTLD_NOW), "clEnqueueNDRangeKernel");
    int32_t status = real(queue, kernel, dimensions, offset, global, local, n, wait, event);
    const char *at = getenv("FAIL_AT");
    return ++launches == (at ? atol(at) : 0) ? -54 : status; /* CL_INVALID_WORK_GROUP_SIZE */
}
