/* Preloaded in front of NVRTC (LD_PRELOAD): each program that TornadoVM compiles is compiled for several architectures, with
 * ptxas's statistics. They go, with the program's text, into the folder $GYRE_CUDA_CODE: 00000.cu, 00000.sm_80, ... */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERNAL_ERROR = 11 };

static const char *const ARCHITECTURES[] = {"80", "90", "100"};
static char *source; /* of the last program made; TornadoVM compiles one at a time */
static int programs;

static void *real(const char *name) {
    void *library = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_NOLOAD);
    void *f = library ? dlsym(library, name) : NULL;
    if (!f) {
        fprintf(stderr, "no %s of NVRTC 13: %s\n", name, dlerror());
        exit(70);
    }
    return f;
}

static void save(int number, const char *kind, const char *text) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%05d.%s", getenv("GYRE_CUDA_CODE"), number, kind);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) {
        perror(path);
        exit(70);
    }
}

int nvrtcCreateProgram(void **p, const char *text, const char *name, int headers, const char *const *texts,
                       const char *const *names) {
    int (*create)(void **, const char *, const char *, int, const char *const *, const char *const *) =
        real("nvrtcCreateProgram");
    free(source);
    source = strdup(text);
    return create(p, text, name, headers, texts, names);
}

/* The first option is the architecture of the device; others follow unchanged. */
int nvrtcCompileProgram(void *own, int n, const char *const *options) {
    int (*create)(void **, const char *, const char *, int, void *, void *) = real("nvrtcCreateProgram");
    int (*compile)(void *, int, const char *const *) = real("nvrtcCompileProgram");
    int (*size)(void *, size_t *) = real("nvrtcGetProgramLogSize");
    int (*log)(void *, char *) = real("nvrtcGetProgramLog");
    int (*destroy)(void **) = real("nvrtcDestroyProgram");
    int result = compile(own, n, options);
    if (result || !getenv("GYRE_CUDA_CODE"))
        return result; /* TornadoVM reports the error, or tries again with other options */
    save(programs, "cu", source);
    for (size_t a = 0; a < sizeof ARCHITECTURES / sizeof *ARCHITECTURES; a++) {
        const char **all = malloc((n + 1) * sizeof(char *));
        char architecture[64], kind[64], *text;
        void *program;
        size_t bytes = 0;
        snprintf(architecture, sizeof architecture, "--gpu-architecture=sm_%s", ARCHITECTURES[a]);
        snprintf(kind, sizeof kind, "sm_%s", ARCHITECTURES[a]);
        memcpy(all, options, n * sizeof(char *));
        all[0] = architecture;
        all[n] = "--ptxas-options=-v";
        if (create(&program, source, "tornado_kernel.cu", 0, NULL, NULL))
            return INTERNAL_ERROR;
        result = compile(program, n + 1, all);
        size(program, &bytes);
        text = calloc(1, bytes + 1);
        log(program, text);
        save(programs, kind, text);
        free(text);
        free(all);
        destroy(&program);
        if (result)
            return result;
    }
    programs++;
    return 0;
}
