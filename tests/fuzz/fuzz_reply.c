/* fuzz_reply.c - quotes and signatures, in text and in html. */
#include "fuzz.h"
#include "mg_reply.h"
#include "mg_text.h"

FUZZ(text, len, p)
{
    const char *body = mg_text_clean(text, len, p), *left, *signature;

    mg_reply_strip_text(&left, &signature, body, "Bob Lee <bob@x.com>", p);
    FUZZ_MUST(strlen(left) + strlen(signature) <= strlen(body));
    FUZZ_MUST(mg_text_is_utf8(left, strlen(left)));
    FUZZ_MUST(mg_text_is_utf8(signature, strlen(signature)));
    left = mg_reply_strip_html(body, p);
    FUZZ_MUST(strlen(left) <= strlen(body));
}
