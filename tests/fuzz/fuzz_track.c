/* fuzz_track.c - tokens of tracking links. The first octet says what the rest
 * is: a token, a local part, or what goes into a token of ours. */
#include "fuzz.h"
#include "mg_status.h"
#include "mg_track.h"

#include <unistd.h>

static mg_track_keys_t *keys;

static void make_keys(void)
{
    static apr_pool_t *own;
    char path[] = "/tmp/fuzz-track-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] =
        "mailgun-tracking 1\nkey 1 00112233445566778899aabbccddeeff"
        "00112233445566778899aabbccddeeff\n";

    FUZZ_MUST(fd >= 0 && write(fd, text, sizeof(text) - 1)
                             == (ssize_t)sizeof(text) - 1);
    close(fd);
    apr_pool_create(&own, NULL);
    FUZZ_MUST(mg_track_keys_load(&keys, path, own) == APR_SUCCESS);
    unlink(path);
}

/* What is made is read back, and as it was. */
static void round_trip(char *text, int kind, apr_pool_t *p)
{
    mg_track_t track = { (mg_track_kind_t)kind, 1, 2, text, "" }, back;
    char *line = strchr(text, '\n'), *token;

    if (line) {
        *line = '\0';
        track.text = line + 1;
    }
    if (mg_track_make(&token, keys, &track, p) != APR_SUCCESS)
        return;
    FUZZ_MUST(mg_track_read(&back, keys, token, p) == APR_SUCCESS);
    FUZZ_MUST(back.kind == track.kind && back.message_id == 2);
    FUZZ_MUST(strcmp(back.recipient, track.recipient) == 0);
    FUZZ_MUST(strcmp(back.text, track.text) == 0);
    FUZZ_MUST(kind == MG_TRACK_UNSUBSCRIBE_TAGS
              || !strpbrk(back.text, "\r\n"));
}

FUZZ(text, len, p)
{
    mg_track_mail_t mail;
    mg_track_t track;
    char *again;

    if (len == 0)
        return;
    if (!keys)
        make_keys();
    if (*text == 'm') {
        FUZZ_MUST(mg_track_mail_read(&mail, keys, 1, text + 1)
                  != APR_SUCCESS);
    }
    else if (*text == 't') {
        if (mg_track_read(&track, keys, text + 1, p) != APR_SUCCESS)
            return;
        /* a seed of ours: it has one spelling */
        FUZZ_MUST(mg_track_make(&again, keys, &track, p) == APR_SUCCESS);
        FUZZ_MUST(strcmp(again, text + 1) == 0);
    }
    else {
        round_trip(text + 1, *text & 7, p);
    }
}
