/* A libcuda.so.1 without a GPU: one device whose memory is the process's, which copies and launches nothing. It lets
 * TornadoVM's CUDA backend generate code, and libraries compute on "device" addresses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };
enum { THREADS = 1, X = 2, Y = 3, Z = 4, SHARED = 8, CONSTANT = 9, CLOCK = 13, MULTIPROCESSORS = 16, MAJOR = 75 };

int cuInit(unsigned flags) { return (void) flags, SUCCESS; }
/* NVRTC asks for tables of the driver, and does without. */
int cuGetExportTable(const void **table, const void *id) { return (void) id, *table = NULL, NOT_FOUND; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *n) { return *n = 1, SUCCESS; }
int cuDeviceGet(int *device, int i) { return *device = i, SUCCESS; }
int cuDeviceGetName(char *name, int n, int device) { return (void) device, strncpy(name, "no GPU", n), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void) device, *bytes = (size_t) 139 << 30, SUCCESS; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void) device;
    switch (attribute) {
    case THREADS: case X: case Y: *value = 1024; break;
    case Z: *value = 64; break;
    case SHARED: *value = 48 << 10; break;
    case CONSTANT: *value = 64 << 10; break;
    case CLOCK: *value = 1980000; break;
    case MULTIPROCESSORS: *value = 132; break;
    case MAJOR: *value = 9; break;
    default: *value = 0;
    }
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text) { return *text = error ? "error" : "no error", SUCCESS; }
int cuGetErrorName(int error, const char **text) { return cuGetErrorString(error, text); }

int cuCtxCreate_v2(void **context, unsigned flags, int device) { return (void) flags, (void) device, *context = malloc(1), SUCCESS; }
int cuCtxCreate_v4(void **context, void *p, unsigned flags, int device) { return (void) p, cuCtxCreate_v2(context, flags, device); }
int cuCtxDestroy_v2(void *context) { return free(context), SUCCESS; }
int cuCtxSetCurrent(void *context) { return (void) context, SUCCESS; }
int cuCtxSynchronize(void) { return SUCCESS; }

int cuMemAlloc_v2(uint64_t *address, size_t n) {
    void *p;
    if (posix_memalign(&p, 256, n ? n : 1))
        return OUT_OF_MEMORY;
    return *address = (uint64_t) p, SUCCESS;
}
int cuMemFree_v2(uint64_t address) { return free((void *) address), SUCCESS; }
int cuMemAllocHost_v2(void **p, size_t n) { return (*p = malloc(n)) ? SUCCESS : OUT_OF_MEMORY; }
int cuMemFreeHost(void *p) { return free(p), SUCCESS; }
int cuMemHostRegister_v2(void *p, size_t n, unsigned flags) { return (void) p, (void) n, (void) flags, SUCCESS; }
int cuMemHostUnregister(void *p) { return (void) p, SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t n, void *s) { return (void) s, memcpy((void *) to, from, n), SUCCESS; }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t n, void *s) { return (void) s, memcpy(to, (void *) from, n), SUCCESS; }
int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t n) { return memcpy((void *) to, (void *) from, n), SUCCESS; }
int cuMemsetD8_v2(uint64_t to, unsigned char x, size_t n) { return memset((void *) to, x, n), SUCCESS; }

int cuModuleLoadDataEx(void **module, const void *image, unsigned n, void *options, void **values) {
    return (void) image, (void) n, (void) options, (void) values, *module = malloc(1), SUCCESS;
}
int cuModuleUnload(void *module) { return free(module), SUCCESS; }
int cuModuleGetFunction(void **f, void *module, const char *name) { return (void) name, *f = module, SUCCESS; }
int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, void *f, void *dynamic, size_t shared, int limit) {
    return (void) f, (void) dynamic, (void) shared, (void) limit, *grid = 132, *block = 256, SUCCESS;
}
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *s, void **arguments, void **extra) {
    (void) f, (void) shared, (void) s, (void) arguments, (void) extra;
    return gx && gy && gz && bx && by && bz && gy < 65536 && gz < 65536 && bx * by * bz <= 1024 ? SUCCESS : INVALID_VALUE;
}

int cuStreamCreate(void **s, unsigned flags) { return (void) flags, *s = malloc(1), SUCCESS; }
int cuStreamDestroy_v2(void *s) { return free(s), SUCCESS; }
int cuStreamSynchronize(void *s) { return (void) s, SUCCESS; }
int cuStreamWaitEvent(void *s, void *e, unsigned flags) { return (void) s, (void) e, (void) flags, SUCCESS; }
int cuStreamBeginCapture_v2(void *s, int mode) { return (void) s, (void) mode, SUCCESS; }
int cuStreamIsCapturing(void *s, int *status) { return (void) s, *status = 0, SUCCESS; }
int cuStreamEndCapture(void *s, void **graph) { return (void) s, *graph = malloc(1), SUCCESS; }
int cuEventCreate(void **e, unsigned flags) { return (void) flags, *e = malloc(1), SUCCESS; }
int cuEventDestroy_v2(void *e) { return free(e), SUCCESS; }
int cuEventQuery(void *e) { return (void) e, SUCCESS; }
int cuEventRecord(void *e, void *s) { return (void) e, (void) s, SUCCESS; }
int cuEventSynchronize(void *e) { return (void) e, SUCCESS; }
int cuEventElapsedTime_v2(float *ms, void *from, void *to) { return (void) from, (void) to, *ms = 0, SUCCESS; }
int cuEventElapsedTime(float *ms, void *from, void *to) { return cuEventElapsedTime_v2(ms, from, to); }
int cuGraphInstantiateWithFlags(void **e, void *graph, unsigned long long flags) { return (void) graph, (void) flags, *e = malloc(1), SUCCESS; }
int cuGraphExecUpdate_v2(void *e, void *graph, void *result) { return (void) e, (void) graph, (void) result, SUCCESS; }
int cuGraphLaunch(void *e, void *s) { return (void) e, (void) s, SUCCESS; }
int cuGraphExecDestroy(void *e) { return free(e), SUCCESS; }
int cuGraphDestroy(void *graph) { return free(graph), SUCCESS; }
