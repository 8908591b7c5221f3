/* fuzz_config.c - mailgun.conf. */
#include "fuzz.h"
#include <sys/mman.h>
#include <unistd.h>
#include "mg_config.h"

FUZZ(text, len, p)
{
    int fd = memfd_create("mailgun.conf", 0);
    const char *error = NULL;
    mg_config_t *config;

    if (fd < 0 || write(fd, text, len) != (ssize_t)len)
        abort();
    if (mg_config_read(&config, apr_psprintf(p, "/proc/self/fd/%d", fd),
                       &error, p) != APR_SUCCESS)
        FUZZ_MUST(error && *error);
    close(fd);
}
