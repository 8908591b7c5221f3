/* fuzz.h - what every fuzz target begins with.
 *
 *     FUZZ(text, len, p) { ... }
 *
 * text is a copy with a NUL behind it (its own allocation, so that ASan sees a
 * step beyond), p a pool that lives as long. fuzz_exact() is a copy without.
 * A target checks what must hold of every answer with FUZZ_MUST().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <apr_general.h>
#include <apr_strings.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MUST(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void fuzz_one(char *text, size_t len, apr_pool_t *p);

static inline char *fuzz_exact(const void *data, size_t len)
{
    char *copy = malloc(len ? len : 1);

    if (copy)
        memcpy(copy, data, len);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int initialized;
    apr_pool_t *p;
    char *text;

    if (!initialized)
        initialized = apr_initialize() == APR_SUCCESS;
    apr_pool_create(&p, NULL);
    text = malloc(size + 1);
    if (text) {
        memcpy(text, data, size);
        text[size] = '\0';
        fuzz_one(text, size, p);
    }
    free(text);
    apr_pool_destroy(p);
    return 0;
}

#define FUZZ(text, len, p) \
    static void fuzz_one(char *text, size_t len, apr_pool_t *p)

#endif
